# Two commands for people: `make demo` and `make test`. Both set up all they need in .venv
# from a bare Python 3.11, and may be run again at any time.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
DEV    := hatchling hypothesis mypy pandas-stubs pytest pytest-benchmark pytest-xdist ruff scipy-stubs

.PHONY: demo test test-all lint clean
.DELETE_ON_ERROR:

demo: $(VENV)/.run
	$(BIN)/secagg fedavg --dropout 0.15 --seed 1 --report report

test: $(VENV)/.dev lint
	$(BIN)/python -m pytest --numprocesses 2 -m "not nightly"

test-all: $(VENV)/.dev lint
	$(BIN)/python -m pytest --numprocesses 2

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "secagg needs Python 3.11 or newer; set PYTHON=")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing secagg into $(VENV) ..."
	@$(PIP) --editable '.[all]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "installing the test tools into $(VENV) ..."
	@$(PIP) $(DEV)
	@touch $@

clean:
	rm -rf $(VENV) report build dist
