"""A kernel shows once that it computes what OpenSSL computes, before it masks anything."""

from collections.abc import Callable
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from secagg.errors import ConfigError

AddMasks = Callable[[NDArray[Any], NDArray[np.uint8], NDArray[np.int8], int], None]

SEEDS = np.arange(48, dtype=np.uint8).reshape(3, 16)  # fixed and public
SIGNS = np.array([1, -1, -1], np.int8)
FIRST = (1 << 32) - 37  # block: the counter's fifth byte comes into play, and no vector or group starts here
LENGTH = 20_000  # bytes: more than a tile


def prove(name: str, add_masks: AddMasks, dtype: np.dtype[Any]) -> None:
    """Compare signed sums of fixed streams, from within a block on, with OpenSSL's AES-128-CTR.

    Args:
        name: of the kernel, for the error.
        add_masks: the kernel; see `secagg.kernels.mask.add_masks`.
        dtype: uint16, uint32 or uint64; each is compiled by itself, so each is proved by itself.

    Raises:
        ConfigError: they differ.
    """
    acc = np.arange(LENGTH // dtype.itemsize, dtype=dtype)
    expected = acc.copy()
    for seed, sign in zip(SEEDS, SIGNS, strict=True):
        lanes = _stream(seed.tobytes(), acc.nbytes + dtype.itemsize).view(dtype)[1:]
        expected += lanes if sign > 0 else -lanes
    add_masks(acc, SEEDS, SIGNS, FIRST * 16 + dtype.itemsize)
    if not np.array_equal(acc, expected):
        raise ConfigError(
            f"mask kernel {name!r} disagrees with OpenSSL on this machine, for {dtype} lanes; "
            "set SECAGG_KERNEL to another, and please report it"
        )


def _stream(seed: bytes, size: int) -> NDArray[np.uint8]:
    cipher = Cipher(algorithms.AES(seed), modes.CTR(FIRST.to_bytes(16, "big"))).encryptor()
    return np.frombuffer(cipher.update(bytes(size)), np.uint8)
