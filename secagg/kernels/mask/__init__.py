"""Adding masks: one function, several implementations that agree bit for bit, one of them chosen once."""

import os
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.errors import ConfigError
from secagg.kernels import _cpu
from secagg.kernels.mask import aes, portable, proof
from secagg.kernels.mask.proof import AddMasks

FAST: Mapping[str, tuple[int, frozenset[str]]] = {
    "vaes512": (512, frozenset({"aes", "vaes", "avx512f", "avx512bw"})),
    "vaes256": (256, frozenset({"aes", "vaes", "avx2"})),
    "aesni": (128, frozenset({"aes"})),
}
"""Name -> bits of a vector and the instruction sets that it needs, by LLVM's names; the fastest first."""


def _with_aes(vector_bits: int, *arguments: Any) -> None:
    aes.add_masks(*arguments, vector_bits=vector_bits, threads=_cpu.threads())


def _implementations() -> dict[str, AddMasks]:
    has = _cpu.x86_features()
    fast = {name: partial(_with_aes, vector_bits) for name, (vector_bits, needed) in FAST.items() if needed <= has}
    return {**fast, "portable": portable.add_masks}


IMPLEMENTATIONS: Mapping[str, AddMasks] = _implementations()
"""Name -> implementation, of those that this machine can run, the fastest first."""


@cache
def selected() -> str:
    """Name of this process's implementation: the variable SECAGG_KERNEL, or else the first that runs here.

    Raises:
        ConfigError: SECAGG_KERNEL names none of `IMPLEMENTATIONS`.
    """
    name = os.environ.get("SECAGG_KERNEL") or next(iter(IMPLEMENTATIONS))
    if name not in IMPLEMENTATIONS:
        choices = ", ".join(IMPLEMENTATIONS)
        raise ConfigError(f"SECAGG_KERNEL={name!r} is not a mask kernel of this machine; choose one of: {choices}")
    return name


def widest_vector() -> int:
    """Bits of the widest vectors that this process may use: those of the mask kernel that SECAGG_KERNEL names.

    Other kernels keep to it too, so that one variable rules out instructions everywhere. Without the variable all
    widths are allowed; with "portable" none is, and this is 0.

    Raises:
        ConfigError: as for `selected`.
    """
    if not os.environ.get("SECAGG_KERNEL"):
        return max(bits for bits, _ in FAST.values())
    name = selected()
    return FAST[name][0] if name in FAST else 0


@cache
def _proved(name: str, dtype: np.dtype[Any]) -> AddMasks:
    """The implementation of that name, once it has shown for this type of lane that it agrees with OpenSSL."""
    if name != "portable":  # which is OpenSSL
        proof.prove(name, IMPLEMENTATIONS[name], dtype)
    return IMPLEMENTATIONS[name]


def add_masks(acc: NDArray[Any], seeds: NDArray[np.uint8], signs: NDArray[np.int8], byte_offset: int) -> None:
    """Add to `acc`, in place and mod 2**lane, the keystream of each seed times its sign.

    The stream is that of `secagg.primitives.prg.keystream`, read from byte `byte_offset` on. No checks of the
    arguments here: `secagg.primitives.prg.add_masks` makes them. Large work is spread over the processors that
    this process may use, at most SECAGG_THREADS of them; the result does not depend on it.

    Args:
        acc: (dim,) uint16, uint32 or uint64, contiguous and writeable.
        seeds: (k, 16) uint8, contiguous.
        signs: (k,) int8, each +1 or -1.
        byte_offset: bytes of each stream to skip, a multiple of the lane's size.

    Raises:
        ConfigError: SECAGG_KERNEL or SECAGG_THREADS has no such value, or the kernel failed its proof, which it
            gives at its first use for each type of lane; nothing was written.
    """
    _proved(selected(), acc.dtype)(acc, seeds, signs, byte_offset)
