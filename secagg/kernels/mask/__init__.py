"""Adding masks: one function, several implementations that agree bit for bit, one of them chosen once."""

import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.errors import ConfigError
from secagg.kernels.mask import portable

AddMasks = Callable[[NDArray[Any], NDArray[np.uint8], NDArray[np.int8], int], None]

IMPLEMENTATIONS: Mapping[str, AddMasks] = {"portable": portable.add_masks}
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


def add_masks(acc: NDArray[Any], seeds: NDArray[np.uint8], signs: NDArray[np.int8], byte_offset: int) -> None:
    """Add to `acc`, in place and mod 2**lane, the keystream of each seed times its sign.

    The stream is that of `secagg.primitives.prg.keystream`, read from byte `byte_offset` on. No checks here:
    `secagg.primitives.prg.add_masks` makes them.

    Args:
        acc: (dim,) uint16, uint32 or uint64, contiguous and writeable.
        seeds: (k, 16) uint8, contiguous.
        signs: (k,) int8, each +1 or -1.
        byte_offset: bytes of each stream to skip, a multiple of the lane's size.
    """
    IMPLEMENTATIONS[selected()](acc, seeds, signs, byte_offset)
