"""Montgomery products of many numbers at once: which instructions multiply, chosen once for the process."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from secagg.kernels import _cpu, mask

FAST: Mapping[str, tuple[int, np.dtype[Any], frozenset[str]]] = {
    "ifma": (512, np.dtype(np.uint64), frozenset({"avx512f", "avx512ifma"})),
    "fma": (256, np.dtype(np.float64), frozenset({"avx2", "fma"})),
}
"""Name -> bits of a vector, type of a limb, and the instruction sets needed, by LLVM's names; the fastest first."""

PORTABLE = "portable"
"""No kernel of this package: big integers one by one."""


def _implementations() -> dict[str, np.dtype[Any]]:
    has = _cpu.x86_features()
    return {name: limb for name, (_, limb, needed) in FAST.items() if needed <= has}


IMPLEMENTATIONS: Mapping[str, np.dtype[Any]] = _implementations()
"""Name -> type of a limb, of those that this machine can run, the fastest first."""


@cache
def selected() -> str:
    """Name of this process's way to multiply, or `PORTABLE`.

    It is the fastest that runs here; where the variable SECAGG_KERNEL names a mask kernel, among those whose vectors
    are no wider than that one's.

    Raises:
        ConfigError: SECAGG_KERNEL names no mask kernel of this machine.
    """
    widest = mask.widest_vector()
    return next((name for name in IMPLEMENTATIONS if FAST[name][0] <= widest), PORTABLE)
