"""The machine code of the AES kernels is what their speed and their constant time rest on, so it is read."""

import os
import re
import subprocess
import sys

import in_use
import pytest

from secagg.kernels import mask
from secagg.kernels.mask import aes

if "aesni" not in mask.IMPLEMENTATIONS:
    pytest.skip("compiled for x86-64 only where it can also run", allow_module_level=True)

COMPILE = """
import sys
from numba import types
from secagg.kernels.mask import aes

lane, blocks = getattr(types, sys.argv[1]), int(sys.argv[2])
row = types.Array(lane, 1, "C")
keys = types.Array(types.uint8, 3, "C")
aes._add_streams.compile((row, types.int64, keys, lane, row, types.UniTuple(types.int64, blocks)))
aes._expand.compile((keys,))
print(*aes._add_streams.inspect_asm().values(), *aes._expand.inspect_asm().values())
"""
TARGETS = {
    "aesni": (1, "x", "westmere", "+sse2,+ssse3,+sse4.1,+aes"),
    "vaes256": (2, "y", "znver3", "+avx,+avx2,+aes,+vaes"),
    "vaes512": (4, "z", "icelake-server", "+avx,+avx2,+aes,+vaes,+avx512f,+avx512bw"),
}


@pytest.mark.parametrize(
    ("blocks", "register", "cpu", "features"),
    [in_use.daily(name, in_use.MASK, *target) for name, target in TARGETS.items()],
)
def test_what_the_compiler_emits(blocks, register, cpu, features, tmp_path):
    """Eight vectors of the full width side by side, and not one branch from the first round to the last.

    Compiled for a processor that may not be this one, so nothing compiled is called.
    """
    environment = os.environ | {
        "NUMBA_CPU_NAME": cpu,
        "NUMBA_CPU_FEATURES": "+64bit,+cmov," + features,
        "NUMBA_CACHE_DIR": str(tmp_path),
        "NUMBA_BOUNDSCHECK": "0",
    }
    command = [sys.executable, "-c", COMPILE, "uint16", str(blocks)]
    result = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    straight = re.split(r"^\S+:|^\t(?:j|call|loop).*", result.stdout, flags=re.MULTILINE)
    rounds = [code for code in straight if "aesenc" in code]
    assert rounds
    for code in rounds:
        for instruction, count in (("aesenc", 9 * aes.IN_FLIGHT), ("aesenclast", aes.IN_FLIGHT)):
            operands = re.findall(rf"\tv?{instruction}\t(.*)", code)
            assert operands
            assert len(operands) % count == 0  # a compiler may unroll the loop over groups
            assert all(f"%{register}mm" in operand for operand in operands)
    assert {code.count("aeskeygenassist") for code in straight} == {0, aes.ROUNDS}
