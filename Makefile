# Two commands for people: `make demo` and `make test`. Both set up all they need in .venv
# from a bare Python 3.11, and may be run again at any time.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
FLOWER := .venv-flower
FLARE  := .venv-nvflare
TORCH  := .venv-torch
BENCH  := .venv-bench
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
DEV    := hatchling hypothesis mypy pandas-stubs pytest pytest-benchmark pytest-xdist ruff scipy-stubs

.PHONY: demo test test-adapters test-all fuzz lint clean
.DELETE_ON_ERROR:

demo: $(VENV)/.run
	$(BIN)/secagg fedavg --dropout 0.15 --seed 1 --report report

test: $(VENV)/.dev lint
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m "not nightly"

# What other frameworks see of secagg, each in an environment of its own.
test-adapters: test-flower test-nvflare test-torch

# With what takes too long for every day: thousands of schedules, hundreds of kills, every deployment, and of kernels
# that this processor does not take what has to run in a process or a compiler of its own.
test-all: $(VENV)/.dev lint $(FLOWER) $(FLARE) test-torch
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal
	$(FLOWER)/bin/python -m pytest tests/adapters/flower
	$(FLARE)/bin/python -m pytest tests/adapters/nvflare

# Only this target needs a fuzzer, so only this target installs it; what it finds and learns stays in build/fuzz.
fuzz: SECONDS ?= 60
fuzz: $(VENV)/.dev
	@$(PIP) atheris==3.0.0
	$(BIN)/python tests/fuzz/atheris_target.py build/fuzz -max_total_time=$(SECONDS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "secagg needs Python 3.11 or newer; set PYTHON=")'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing secagg into $(VENV) ..."
	@$(PIP) --editable '.[all]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "installing the test tools into $(VENV) ..."
	@$(PIP) $(DEV)
	@touch $@

clean:
	rm -rf $(VENV) $(FLOWER) $(FLARE) $(TORCH) $(BENCH) report build dist

# Flower and its pins live in an environment of their own; only these targets install them.
.PHONY: .venv-flower test-flower

test-flower: $(FLOWER)
	$(FLOWER)/bin/python -m mypy secagg/adapters/flower
	$(FLOWER)/bin/python -m pytest tests/adapters/flower -m "not nightly"

.venv-flower: .venv-flower/.run

.venv-flower/.run: pyproject.toml constraints.txt constraints-flower.txt
	@$(FLOWER)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(FLOWER)
	@echo "*" > $(FLOWER)/.gitignore
	@echo "installing Flower and secagg into $(FLOWER) ..."
	@$(FLOWER)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	    --constraint constraints-flower.txt --editable '.[flower,paillier,ckks]' 'flwr[simulation]==1.41.0' scikit-learn \
	    hypothesis mypy pytest scipy-stubs
	@touch $@

# Likewise NVIDIA FLARE.
.PHONY: .venv-nvflare test-nvflare

test-nvflare: $(FLARE)
	$(FLARE)/bin/python -m mypy secagg/adapters/nvflare
	$(FLARE)/bin/python -m pytest tests/adapters/nvflare -m "not nightly"

.venv-nvflare: .venv-nvflare/.run

.venv-nvflare/.run: pyproject.toml constraints.txt constraints-nvflare.txt
	@$(FLARE)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(FLARE)
	@echo "*" > $(FLARE)/.gitignore
	@echo "installing NVFLARE and secagg into $(FLARE) ..."
	@$(FLARE)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	    --constraint constraints-nvflare.txt --editable '.[nvflare,paillier,ckks]' scikit-learn hypothesis mypy \
	    pytest scipy-stubs
	@touch $@

# PyTorch is large, and only its own tests need it.
.PHONY: test-torch

test-torch: $(TORCH)/.run
	$(TORCH)/bin/python -m pytest tests/pytorch

$(TORCH)/.run: pyproject.toml constraints.txt
	@$(TORCH)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(TORCH)
	@echo "*" > $(TORCH)/.gitignore
	@echo "installing PyTorch and secagg into $(TORCH) ..."
	@$(TORCH)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	    --editable . torch==2.13.0 hypothesis pytest
	@touch $@

# Benchmarks, with Flower beside ours in an environment of their own. `bench` measures everything and writes
# docs/benchmarks.md (under fifteen minutes on two cores); `bench-quick` shows that everything runs.
SUITES := kernels handlers rounds peers
.PHONY: bench bench-quick

bench: $(BENCH)/.run
	@for suite in $(SUITES); do \
	    $(BENCH)/bin/python -m bench $$suite --json bench/results/$$suite.json || exit 1; done
	$(BENCH)/bin/python -m bench report

bench-quick: $(BENCH)/.run
	@for suite in $(SUITES); do \
	    $(BENCH)/bin/python -m bench $$suite --quick --json build/bench/$$suite.json || exit 1; done
	$(BENCH)/bin/python -m bench report --results build/bench --docs build/bench

$(BENCH)/.run: pyproject.toml constraints.txt constraints-bench.txt
	@test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	@echo "*" > $(BENCH)/.gitignore
	@echo "installing Flower and secagg into $(BENCH) ..."
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	    --constraint constraints-bench.txt --editable '.[all]' flwr==1.41.0
	@touch $@
