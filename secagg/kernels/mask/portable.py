"""Masks on any machine: OpenSSL writes a tile of keystream, a kernel adds it while it is still in cache."""

from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import NDArray

from secagg.kernels._jit import kernel

TILE = 1 << 16  # bytes: zeros, stream and accumulator tile share a 512 KiB L2, and OpenSSL is at full speed
GROUP = 256  # keys with a live cipher at once: bounds memory, whatever k is
BLOCK = 16  # bytes of an AES block


def add_masks(acc: NDArray[Any], seeds: NDArray[np.uint8], signs: NDArray[np.int8], byte_offset: int) -> None:
    """See `secagg.kernels.mask.add_masks`."""
    flips = (signs >> 7).astype(acc.dtype)  # all ones for -1, zero for +1
    for first in range(0, len(seeds), GROUP):
        streams = [_seek(seed.tobytes(), byte_offset) for seed in seeds[first : first + GROUP]]
        _add_streams(acc, streams, flips[first : first + GROUP])


def _add_streams(acc: NDArray[Any], streams: list[CipherContext], flips: NDArray[Any]) -> None:
    """All streams over one tile of `acc`, then the next tile."""
    zeros = memoryview(bytes(TILE))
    room = bytearray(TILE + BLOCK)  # older releases of the cipher ask for a block of slack
    lanes = np.frombuffer(room, acc.dtype, TILE // acc.itemsize)
    for start in range(0, acc.size, lanes.size):
        tile = acc[start : start + lanes.size]
        plain = zeros[: tile.nbytes]
        for stream, flip in zip(streams, flips, strict=True):
            stream.update_into(plain, room)
            _add_signed(tile, lanes, flip)


def _seek(seed: bytes, byte_offset: int) -> CipherContext:
    """AES-128-CTR of NIST SP 800-38A 6.5 whose next byte is byte `byte_offset` of the stream."""
    counter, within = divmod(byte_offset, BLOCK)
    stream = Cipher(algorithms.AES(seed), modes.CTR(counter.to_bytes(BLOCK, "big"))).encryptor()
    stream.update(bytes(within))
    return stream


@kernel
def _add_signed(tile: NDArray[Any], lanes: NDArray[Any], flip: Any) -> None:
    """tile += lanes, or -= where `flip` is all ones: (x ^ ones) - ones is -x mod 2**lane; no branch."""
    for i in range(tile.size):
        tile[i] += (lanes[i] ^ flip) - flip
