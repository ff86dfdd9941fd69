"""Bits, sets of parties, and rows of equal size, each packed into one byte string of a message."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from secagg.errors import WireError


def pack_bits(bits: Sequence[bool] | NDArray[np.bool_]) -> bytes:
    """One bit each: bit i % 8 of byte i // 8, zero-padded."""
    return np.packbits(np.asarray(bits, np.bool_), bitorder="little").tobytes()


def unpack_bits(data: bytes, count: int) -> NDArray[np.bool_]:
    """`count` bits, shape (count,). Raises WireError for another length or set padding."""
    if len(data) != (count + 7) // 8:
        raise WireError(f"bit set of {len(data)} bytes: expected {(count + 7) // 8} for {count} bits")
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").astype(np.bool_)
    if bits[count:].any():
        raise WireError("bit set with set padding bits")
    return bits[:count]


def pack_set(indices: Iterable[int], parties: int) -> bytes:
    """A set of indices below `parties`, one bit a party."""
    bits = np.zeros(parties, np.bool_)
    bits[list(indices)] = True
    return pack_bits(bits)


def unpack_set(data: bytes, parties: int) -> frozenset[int]:
    """The inverse of `pack_set`. Raises WireError for another length or set padding."""
    return frozenset(np.flatnonzero(unpack_bits(data, parties)).tolist())


def check_size(data: bytes, size: int, what: str) -> None:
    """Raise WireError naming `what` for another length, in bytes."""
    if len(data) != size:
        raise WireError(f"{what} of {len(data)} bytes: expected {size}")


def check_rows(data: bytes, size: int, count: int, what: str) -> None:
    """Raise WireError naming `what` unless it has room for `count` rows of `size` bytes and no more."""
    if len(data) != size * count:
        raise WireError(f"{what} of {len(data)} bytes: expected {count} rows of {size}")


def rows(data: bytes, size: int, count: int, what: str) -> list[bytes]:
    """`count` rows of `size` bytes. Raises WireError naming `what` for another length."""
    check_rows(data, size, count, what)
    return [data[size * i : size * (i + 1)] for i in range(count)]
