"""Ring vectors as bytes: b bits an entry, no more.

Entry i occupies bits [i*b, (i+1)*b) of a little-endian bit stream of ceil(dim*b/8) bytes; the bits that
are left over in the last byte are zero, so that a vector has one encoding only.
"""

import numpy as np
from numpy.typing import NDArray

from secagg.encoding.ring import Lanes, Ring
from secagg.errors import WireError
from secagg.kernels import pack as kernels
from secagg.spans import span


def packed_size(dim: int, ring: Ring) -> int:
    """Bytes of a packed vector of `dim` entries."""
    return (dim * ring.bits + 7) // 8


@span("pack")
def pack(vector: Lanes, ring: Ring) -> bytes:
    """Shape (dim,) to bytes; entries are taken mod 2**b."""
    words = np.zeros((vector.size * ring.bits + 63) // 64, np.dtype("<u8"))
    kernels.pack(vector, ring.bits, words)
    return words.view(np.uint8)[: packed_size(vector.size, ring)].tobytes()


def unpack(packed: bytes, dim: int, ring: Ring) -> Lanes:
    """Bytes to shape (dim,). Raises WireError for another length or set padding bits."""
    words, tail = _words(packed, dim, ring)
    vector = np.empty(dim, ring.lane)
    kernels.unpack(words, tail, ring.bits, vector)
    return vector


@span("unpack and add")
def add_packed(accumulator: Lanes, packed: bytes, ring: Ring) -> None:
    """Add a packed vector to `accumulator` in place, mod 2**lane, without unpacking it first.

    Raises WireError, before anything is added, for another length or set padding bits.
    """
    words, tail = _words(packed, accumulator.size, ring)
    kernels.unpack_add(accumulator, words, tail, ring.bits)


def _words(packed: bytes, dim: int, ring: Ring) -> tuple[NDArray[np.uint64], np.uint64]:
    """The bytes as a view of whole 64-bit words, and the rest as one more word."""
    if len(packed) != packed_size(dim, ring):
        raise WireError(
            f"packed vector of {len(packed)} bytes: "
            f"expected {packed_size(dim, ring)} ({dim} entries of {ring.bits} bits)"
        )
    used = dim * ring.bits % 8
    if used and packed[-1] >> used:
        raise WireError("packed vector with set bits after its last entry")
    whole = len(packed) // 8
    words = np.frombuffer(packed, np.dtype("<u8"), count=whole)
    return words, np.uint64(int.from_bytes(packed[8 * whole :], "little"))
