"""The machine code of the agreement kernels is what their speed and their constant time rest on, so it is read."""

import os
import re
import subprocess
import sys

import in_use
import pytest

from secagg.kernels import agreement

if "avx2" not in agreement.IMPLEMENTATIONS:
    pytest.skip("compiled for x86-64 only where it can also run", allow_module_level=True)

COMPILE = """
import sys
from numba import types
from secagg.kernels.agreement import hkdf, x25519

lanes = int(sys.argv[1])
long, short = (types.Array(word, 2, "C") for word in (types.uint64, types.uint32))
row = types.Array(types.uint32, 1, "C")
x25519.exchange.compile((long, long, long, long, types.UniTuple(types.int64, lanes)))
hkdf.derive.compile((short, short, row, row, short, short, types.UniTuple(types.int64, 2 * lanes)))
print(*x25519.exchange.inspect_asm().values(), *hkdf.derive.inspect_asm().values())
"""
AVX2 = "+64bit,+cmov,+avx,+avx2,+fma"
TARGETS = {"avx2": (4, "haswell", AVX2), "ifma": (8, "icelake-server", AVX2 + ",+avx512f,+avx512ifma")}
LIMBS, PRODUCTS, SQUARES = 5, 5 * 5, 5 * 6 // 2
HALVES = 2 * (5 * PRODUCTS + 4 * SQUARES + LIMBS)  # in a step; the multiple of a24 counts its limbs
REDUCTIONS = 11  # in a step; each has one product of a carry, which LLVM may fuse with an addition where it can
JUMP = re.compile(r"^\t(j[a-z]+|call\w*|loop\w*|v?p?gather\w*|v?pscatter\w*|v?movmsk\w*|v?p?test\w*)\t", re.MULTILINE)
INDEXED = re.compile(r"\(%r\w+,%r\w+")


@pytest.fixture(scope="module", params=[in_use.daily(name, in_use.AGREEMENT, name) for name in TARGETS])
def compiled(request, tmp_path_factory):
    """(lanes, {function: machine code}) for a processor that may not be this one, so nothing compiled is called."""
    lanes, cpu, features = TARGETS[request.param]
    environment = os.environ | {
        "NUMBA_CPU_NAME": cpu,
        "NUMBA_CPU_FEATURES": features,
        "NUMBA_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        "NUMBA_BOUNDSCHECK": "0",
    }
    command = [sys.executable, "-c", COMPILE, str(lanes)]
    result = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    functions = re.findall(
        r'^"?((?:x25519|sha256)\.[a-z0-9_.]+)"?:\n(.*?)^\.Lfunc_end', result.stdout, re.MULTILINE | re.DOTALL
    )
    return lanes, dict(functions)


def test_no_branch_and_no_index_depends_on_what_the_vectors_hold(compiled):
    """Each function is one straight line; addresses are the room's, plus the numbers of elements or rows."""
    lanes, functions = compiled
    for name in ("start", "step", "end", "multiply", "square", "to_integers", "from_integers"):
        assert not JUMP.search(functions[f"x25519.{name}.{lanes}"])
    for name in ("schedule", "rounds", "masked"):
        assert not JUMP.search(functions[f"sha256.{name}.{2 * lanes}"])
    assert not INDEXED.search(functions[f"sha256.schedule.{2 * lanes}"])
    calls = JUMP.findall(functions[f"sha256.compress.{2 * lanes}"])
    assert len(calls) == 7
    assert {call[:4] for call in calls} == {"call"}


def test_a_step_is_made_of_the_instructions_meant_for_it(compiled):
    lanes, functions = compiled
    step = functions[f"x25519.step.{lanes}"]
    low, high, register = ("vpmadd52luq", "vpmadd52huq", "z") if lanes == 8 else ("vfmadd231pd", "vfmadd213pd", "y")
    products = re.findall(rf"\t({low}|{high})\t(.*)", step)
    assert len(products) in (HALVES, HALVES + REDUCTIONS)
    assert [name for name, _ in products].count(high) in range(HALVES // 2 - LIMBS, HALVES // 2 + 1)
    assert all(f"%{register}mm" in operands for _, operands in products)


def test_points_are_swapped_by_blending(compiled):
    lanes, functions = compiled
    step = functions[f"x25519.step.{lanes}"]
    blends = re.findall(r"\tvblendvpd\t|\{%k\d\}", step)
    assert len(blends) == 2 * LIMBS
