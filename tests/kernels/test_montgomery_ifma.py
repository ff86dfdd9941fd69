"""The IFMA kernel runs here too, its two instructions emulated; and its machine code holds the real ones."""

import os
import re
import subprocess
import sys
from pathlib import Path

import in_use
import pytest

from secagg.kernels import _cpu

HERE = Path(__file__).parent


@pytest.mark.nightly
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

limb, table, indices = getattr(types, sys.argv[1]), types.Array(types.uint32, 5, "C"), types.Array(types.int32, 2, "C")
numbers, modulus, exponents = types.Array(limb, 3, "C"), types.Array(limb, 1, "C"), types.Array(types.uint8, 2, "C")
room = types.Array(types.uint64, 1 + int(sys.argv[2]), "C")
lanes.fixed_power.compile((numbers, table, exponents, types.int64, indices, numbers, modulus, room))
print(*lanes.fixed_power.inspect_asm().values())
"""
TARGETS = {
    "ifma": ("uint64", "z", "icelake-server", "+avx,+avx2,+fma,+bmi,+bmi2,+avx512f,+avx512bw,+avx512vl,+avx512ifma"),
    "fma": ("float64", "y", "znver3", "+avx,+avx2,+fma,+bmi,+bmi2"),
}
WORK = {"ifma": ("vpmadd52luq", "vpmadd52huq"), "fma": ("vfmadd", "vsubpd")}
EACH = {"ifma": 1, "fma": 2}
"""How many of the first instruction a product of two limbs takes."""


@pytest.mark.skipif(not _cpu.x86_features(), reason="compiled for x86-64 only where it can also run")
@pytest.mark.parametrize(("parts", "products"), [(1, 2), (2, 5)], ids=["numbers", "pairs"])
@pytest.mark.parametrize("name", [in_use.daily(name, in_use.MONTGOMERY, name) for name in TARGETS])
def test_what_the_compiler_emits(name, parts, products, tmp_path):
    """Compiled for a processor that may not be this one, so nothing compiled is called."""
    limb, register, cpu, features = TARGETS[name]
    environment = os.environ | {
        "NUMBA_CPU_NAME": cpu,
        "NUMBA_CPU_FEATURES": "+64bit,+cmov," + features,
        "NUMBA_CACHE_DIR": str(tmp_path),
        "NUMBA_BOUNDSCHECK": "0",
    }
    command = [sys.executable, "-c", COMPILE, limb, str(parts)]
    result = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    code = result.stdout
    for instruction in WORK[name]:
        operands = re.findall(rf"\t{instruction}\w*\t(.*)", code)
        assert len(operands) >= products
        assert all(f"%{register}mm" in operand for operand in operands)
    assert not re.search(r"\t(call|mulx|imulq?)\t.*(fma|__multi3)", code)  # no soft multiplication
    assert "gather" not in code
    straight = re.split(r"^\S+:|^\t(?:j|call).*", code, flags=re.MULTILINE)
    counts = [len(re.findall(WORK[name][0], block)) for block in straight]
    assert {products * EACH[name], 2 * products * EACH[name]} & {*counts}  # one position or two, without a branch
    chosen = [block for block in straight if block.count("\tvpshufb\t") == 8]
    assert chosen  # from a block of a table's entries, without a branch
    assert all("%ymm" in line for line in chosen[0].splitlines() if "vpshufb" in line)
