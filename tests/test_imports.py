"""`import secagg` is light: nothing heavy is loaded and no kernel is compiled."""

import subprocess
import sys

import pytest

HEAVY = ["scipy.stats", "sklearn", "matplotlib", "pandas", "typer", "rich", "jinja2", "pytest", "hypothesis"]
HEAVY += ["gmpy2", "phe", "tenseal", "zstandard"]

LOADED = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*[name for name in sys.argv[2:] if name in sys.modules])
"""
COMPILED = """
import importlib, sys
from numba.core import event
from numba.core.dispatcher import Dispatcher

with event.install_recorder("numba:compile") as recorder:
    importlib.import_module(sys.argv[1])
    exec(sys.argv[2])
kernels = {
    value for name, module in list(sys.modules.items()) if name.startswith("secagg")
    for value in vars(module).values() if isinstance(value, Dispatcher)
}
print(len(kernels) > 3, [kernel.__name__ for kernel in kernels if kernel.signatures], len(recorder.buffer))
"""


def python(code, *arguments):
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.split()


@pytest.mark.parametrize("package", ["secagg", "secagg_protocols"])
def test_nothing_heavy_is_imported(package):
    assert python(LOADED, package, *HEAVY) == []


def test_the_probe_sees_what_is_imported():
    assert python(LOADED, "secagg", "numpy", "sklearn") == ["numpy"]


@pytest.mark.parametrize("package", ["secagg", "secagg_protocols"])
def test_nothing_is_compiled(package):
    assert python(COMPILED, package, "") == ["True", "[]", "0"]


def test_the_probe_sees_what_is_compiled():
    use = "import numpy, numba; importlib.import_module('secagg.kernels.quantize').first_not_finite(numpy.ones(1))"
    fresh = "numba.njit(lambda: 1)()"
    assert python(COMPILED, "secagg", use)[:2] == ["True", "['_first_not_finite']"]
    assert int(python(COMPILED, "secagg", f"{use}; {fresh}")[2]) > 0


def test_the_engine_does_not_load_the_protocols():
    assert python(LOADED, "secagg", "secagg_protocols") == []
