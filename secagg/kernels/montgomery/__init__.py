"""Montgomery products of many numbers at once: which instructions multiply, chosen once for the process."""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from secagg.kernels import _cpu

FAST: Mapping[str, tuple[np.dtype[Any], frozenset[str]]] = {
    "ifma": (np.dtype(np.uint64), frozenset({"avx512f", "avx512ifma"})),
    "fma": (np.dtype(np.float64), frozenset({"avx2", "fma"})),
}
"""Name -> type of a limb and the instruction sets that it needs, by LLVM's names; the fastest first."""

PORTABLE = "portable"
"""No kernel of this package: big integers one by one."""


def _implementations() -> dict[str, np.dtype[Any]]:
    has = _cpu.x86_features()
    return {name: limb for name, (limb, needed) in FAST.items() if needed <= has}


IMPLEMENTATIONS: Mapping[str, np.dtype[Any]] = _implementations()
"""Name -> type of a limb, of those that this machine can run, the fastest first."""


@cache
def selected() -> str:
    """Name of this process's way to multiply: what the variable SECAGG_KERNEL names, or else the first that runs here.

    Kernels of masks have names of their own under the same variable, and leave the choice here as it is.
    """
    names = [*IMPLEMENTATIONS, PORTABLE]
    wanted = os.environ.get("SECAGG_KERNEL")
    return wanted if wanted in names else names[0]
