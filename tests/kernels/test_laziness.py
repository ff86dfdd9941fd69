"""Kernels compile when first called, never at import, and call no kernel of another file."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import secagg.kernels

PLAIN = {"kernel", "over_threads", "aligned"}
"""What a file of kernels may import from others: functions that no kernel can call, so that none is compiled in."""

ROOT = Path(secagg.kernels.__file__).parent
FILES = [path for path in sorted(ROOT.rglob("*.py")) if path.name not in ("__init__.py", "_jit.py")]

COMPILED = """
import importlib, sys
from numba.core.dispatcher import Dispatcher
found = [value for name in sys.argv[1:] for value in vars(importlib.import_module(name)).values()]
found = [value for value in found if isinstance(value, Dispatcher)]
assert len(found) > 10, found
print([k.__name__ for k in found if k.signatures])
"""


def test_importing_compiles_nothing():
    parts = [path.relative_to(ROOT.parent.parent).with_suffix("").parts for path in FILES]
    command = [sys.executable, "-c", COMPILED, *(".".join(part) for part in parts)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("path", [path for path in FILES if "@kernel" in path.read_text()], ids=lambda path: path.name)
def test_no_kernel_and_no_number_is_imported_from_another_file(path):
    """Numba's cache would not notice an edit there."""
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    inner = [node for node in imports if (node.module or "").startswith("secagg.kernels") or node.level]
    assert {alias.name for node in inner for alias in node.names} <= PLAIN
