"""Mask streams: AES-128 in counter mode (NIST SP 800-38A, 6.5), read as little-endian lanes.

A seed is a key that serves one stream and nothing else, so the initial counter block may be zero; it counts
up as one 128-bit big-endian number. A stream is seekable and at most 2**40 bytes long.
"""

import operator
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import DTypeLike, NDArray

from secagg.errors import ConfigError, OutOfRange
from secagg.kernels import mask
from secagg.primitives._bytes import of_length
from secagg.primitives.entropy import Entropy, draw
from secagg.spans import span

SEED_BYTES = 16
MAX_BYTES = 1 << 40
"""Longest stream of one seed."""

LANES = (np.dtype("<u2"), np.dtype("<u4"), np.dtype("<u8"))


def keystream(seed: bytes, n: int, dtype: DTypeLike) -> NDArray[Any]:
    """The first n lanes of a seed's stream: the definition that `add_masks` must agree with.

    Args:
        seed: 16 bytes, secret.
        n: number of lanes, >= 0.
        dtype: uint16, uint32 or uint64.

    Returns:
        (n,) of `dtype`.

    Raises:
        ConfigError: wrong seed or dtype.
        OutOfRange: n is negative, or the stream would pass 2**40 bytes.
    """
    key = of_length(seed, SEED_BYTES, "seed")
    lane = _lane(dtype)
    _check_range(0, n, lane.itemsize)
    return np.frombuffer(bytearray(_stream(key).update(bytes(n * lane.itemsize))), lane)


def stretched(entropy: Entropy) -> Entropy:
    """An entropy of many bytes from one seed: the stream of `entropy(16)`, which is drawn when the first are asked for.

    Each call goes on where the last one ended. It costs a cipher's setup once, where small pieces are many.
    """
    stream: CipherContext | None = None
    taken = 0

    def source(n: int) -> bytes:
        nonlocal stream, taken
        _check_range(taken, n, 1)
        stream = stream or _stream(draw(entropy, SEED_BYTES))
        taken += n
        return stream.update(bytes(n))

    return source


def _stream(seed: bytes) -> CipherContext:
    return Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor()


@span("mask streams")
def add_masks(acc: NDArray[Any], seeds: NDArray[np.uint8], signs: NDArray[np.int8], offset: int = 0) -> None:
    """Add to `acc`, in place and mod 2**lane, the stream of each seed times its sign.

    Args:
        acc: (dim,) uint16, uint32 or uint64, contiguous and writeable; its type is the lane.
        seeds: (k, 16) uint8, secret; k may be 0.
        signs: (k,) int8, each +1 or -1.
        offset: position in the streams, in entries, of the first entry of `acc`.

    Raises:
        ConfigError: an array of another type, shape or layout, or another sign; nothing was written.
        OutOfRange: `offset` is negative or the range passes 2**40 bytes of a stream; nothing was written.
    """
    _check_accumulator(acc)
    _check_keys(seeds, signs)
    start = _check_range(offset, acc.size, acc.itemsize)
    mask.add_masks(acc, np.ascontiguousarray(seeds), signs, start * acc.itemsize)


def _check_accumulator(acc: NDArray[Any]) -> None:
    if not isinstance(acc, np.ndarray) or acc.ndim != 1:
        raise ConfigError(f"acc: expected a (dim,) array, got {_kind(acc)}")
    _check_lane(acc.dtype, "acc")
    flags = acc.flags
    if not (flags.c_contiguous and flags.aligned and flags.writeable):
        raise ConfigError("acc: expected a contiguous, aligned and writeable array, since masks are added in place")


def _check_keys(seeds: NDArray[np.uint8], signs: NDArray[np.int8]) -> None:
    if not isinstance(seeds, np.ndarray) or seeds.dtype != np.uint8 or seeds.shape[1:] != (SEED_BYTES,):
        raise ConfigError(f"seeds: expected a (k, {SEED_BYTES}) array of uint8, got {_kind(seeds)}")
    if not isinstance(signs, np.ndarray) or signs.dtype != np.int8 or signs.shape != seeds.shape[:1]:
        raise ConfigError(f"signs: expected a ({len(seeds)},) array of int8, one per seed, got {_kind(signs)}")
    wrong = np.flatnonzero(np.abs(signs) != 1)
    if wrong.size:
        raise ConfigError(f"signs[{wrong[0]}]: expected +1 or -1, got {signs[wrong[0]]}")


def _lane(dtype: DTypeLike) -> np.dtype[Any]:
    try:
        lane = np.dtype(dtype)
    except TypeError:
        raise ConfigError("dtype: expected uint16, uint32 or uint64, got no type at all") from None
    _check_lane(lane, "dtype")
    return lane


def _check_lane(dtype: np.dtype[Any], name: str) -> None:
    if dtype not in LANES:
        raise ConfigError(f"{name}: expected uint16, uint32 or uint64, got {dtype}")


def _check_range(offset: int, n: int, itemsize: int) -> int:
    try:
        start, length = operator.index(offset), operator.index(n)
    except TypeError:
        raise ConfigError("offset and length of a stream must be integers") from None
    if start < 0 or length < 0:
        raise OutOfRange(f"offset and length of a stream must not be negative, got {start} and {length}")
    if (start + length) * itemsize > MAX_BYTES:
        raise OutOfRange(f"a stream has {MAX_BYTES} bytes, not entries {start}..{start + length} of {itemsize} bytes")
    return start


def _kind(value: object) -> str:
    """Type and shape for an error's text, never content."""
    if isinstance(value, np.ndarray):
        return f"{value.shape} of {value.dtype}"
    return type(value).__name__
