"""Keys of many pairs at once: one function, implementations that agree bit for bit, one of them chosen once.

`portable` stands for `cryptography`, pair by pair, which is `secagg.primitives.agreement`'s own doing: it also serves
few pairs, and those whose infos differ in length.
"""

from collections.abc import Mapping
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.kernels import _cpu, mask
from secagg.kernels.agreement import proof
from secagg.kernels.agreement.proof import Derive

FAST: Mapping[str, tuple[int, frozenset[str]]] = {
    "ifma": (512, frozenset({"avx512f", "avx512ifma"})),
    "avx2": (256, frozenset({"avx2", "fma"})),
}
"""Name -> bits of a vector and the instruction sets that it needs, by LLVM's names; the fastest first."""

LOADING = 8192
"""Pairs that are derived one by one in about the time, 0.4 s, that loading a kernel from Numba's cache takes."""
LEAST = 4
"""Fewest pairs for which a kernel that is loaded beats `cryptography`."""


def _with_vectors(vector_bits: int, *arguments: Any) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    batch = import_module("secagg.kernels.agreement.batch")  # only now: most processes never need it
    keys, is_zero = batch.derive(*arguments, vector_bits=vector_bits, threads=_cpu.threads())
    return keys, is_zero


def _implementations() -> dict[str, Derive]:
    has = _cpu.x86_features()
    return {name: partial(_with_vectors, bits) for name, (bits, needed) in FAST.items() if needed <= has}


IMPLEMENTATIONS: Mapping[str, Derive] = _implementations()
"""Name -> implementation, of those that this machine can run, the fastest first."""


@cache
def selected() -> str:
    """Name of this process's implementation, or "portable".

    It is the fastest that runs here; where the variable SECAGG_KERNEL names a mask kernel, among those whose vectors
    are no wider than that one's.

    Raises:
        ConfigError: SECAGG_KERNEL names no mask kernel of this machine.
    """
    widest = mask.widest_vector()
    return next((name for name in IMPLEMENTATIONS if FAST[name][0] <= widest), "portable")


@cache
def _proved(name: str) -> Derive:
    """The implementation of that name, once it has shown that it agrees with `cryptography`."""
    proof.prove(name, IMPLEMENTATIONS[name])
    return IMPLEMENTATIONS[name]


_asked = 0  # pairs, by this process


def is_worth(pairs: int) -> bool:
    """Whether to give so many pairs to `derive`; counts those that it could take.

    A kernel is loaded once this process has asked for `LOADING` pairs in calls of `LEAST` and more. Nobody knows how
    many will follow; with the kernel in Numba's cache, none spends more than twice what it would have, had it known.
    Threads may lose a count, which only delays loading.
    """
    global _asked  # noqa: PLW0603 - one count a process
    if pairs < LEAST or selected() == "portable":
        return False
    _asked += pairs
    return _proved.cache_info().currsize > 0 or _asked >= LOADING


def load() -> None:
    """Load the kernel now, if there is one, and not when enough pairs have come. Raises ConfigError as `derive`."""
    if selected() != "portable":
        _proved(selected())


def derive(
    scalars: NDArray[np.uint8], points: NDArray[np.uint8], infos: NDArray[np.uint8], salt: bytes
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """HKDF-SHA256 of X25519(scalars[i], points[i]) under salt and infos[i], and where that product is all zero.

    The key of a pair whose product is zero is of no use. Work is spread over the processors that this process may
    use, at most SECAGG_THREADS of them, without the GIL; the result does not depend on it.

    Args:
        scalars, points: (n, 32) uint8, contiguous.
        infos: (n, l) uint8, contiguous.
        salt: of any length.

    Returns:
        (n, 32) uint8 and (n,) bool.

    Raises:
        ConfigError: SECAGG_THREADS has no such value, floating-point numbers are rounded in an unusual way, or the
            kernel failed its proof, which it gives at its first use.
    """
    return _proved(selected())(scalars, points, infos, salt)
