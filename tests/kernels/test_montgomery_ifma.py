"""The IFMA kernel runs here too, its two instructions emulated; and its machine code holds the real ones."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from secagg.kernels import _cpu

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    "test", ["kernels/test_montgomery.py", "primitives/test_modular.py", "primitives/test_lanes.py"]
)
def test_all_tests_of_the_kernel_with_its_instructions_emulated(test, tmp_path):
    """In a process of its own: an emulated kernel must not be taken for the real one from the cache."""
    environment = os.environ | {
        "SECAGG_TEST_CACHE": "emulated-ifma",
        "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
    }
    options = ["-q", "-p", "no:cacheprovider", "-p", "emulated_ifma", "-k", "not portable"]
    command = [sys.executable, "-m", "pytest", *options, str(HERE.parent / test)]
    result = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"\d+ passed", result.stdout)


COMPILE = """
import sys
from numba import types
from secagg.kernels.montgomery import lanes

limb = getattr(types, sys.argv[1])
table = types.Array(limb, 4, "C")
numbers, modulus, room = types.Array(limb, 3, "C"), types.Array(limb, 1, "C"), types.Array(types.uint64, 2, "C")
digits, exponents = types.Array(types.int64, 1, "C"), types.Array(types.uint8, 2, "C")
lanes.fixed_power.compile((numbers, table, exponents, types.int64, digits, numbers, modulus, room))
print(*lanes.fixed_power.inspect_asm().values())
"""
TARGETS = {
    "ifma": ("uint64", "z", "icelake-server", "+avx,+avx2,+fma,+bmi,+bmi2,+avx512f,+avx512bw,+avx512vl,+avx512ifma"),
    "fma": ("float64", "y", "znver3", "+avx,+avx2,+fma,+bmi,+bmi2"),
}
WORK = {"ifma": ("vpmadd52luq", "vpmadd52huq"), "fma": ("vfmadd", "vsubpd")}


@pytest.mark.skipif(not _cpu.x86_features(), reason="compiled for x86-64 only where it can also run")
@pytest.mark.parametrize("name", TARGETS)
def test_what_the_compiler_emits(name, tmp_path):
    """Compiled for a processor that may not be this one, so nothing compiled is called."""
    limb, register, cpu, features = TARGETS[name]
    environment = os.environ | {
        "NUMBA_CPU_NAME": cpu,
        "NUMBA_CPU_FEATURES": "+64bit,+cmov," + features,
        "NUMBA_CACHE_DIR": str(tmp_path),
        "NUMBA_BOUNDSCHECK": "0",
    }
    command = [sys.executable, "-c", COMPILE, limb]
    result = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    code = result.stdout
    for instruction in WORK[name]:
        operands = re.findall(rf"\t{instruction}\w*\t(.*)", code)
        assert len(operands) >= 16
        assert all(f"%{register}mm" in operand for operand in operands)
    assert not re.search(r"\t(call|mulx|imulq?)\t.*(fma|__multi3)", code)  # no soft multiplication
    assert "gather" not in code
    straight = re.split(r"^\S+:|^\t(?:j|call).*", code, flags=re.MULTILINE)
    inner = [block for block in straight if len(re.findall(WORK[name][0], block)) in (8, 16)]
    assert inner  # two positions of two rows each, without a branch
