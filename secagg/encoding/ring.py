"""The ring Z_2^b in which sums are exact."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secagg.errors import OutOfRange

Lanes = NDArray[np.uint16] | NDArray[np.uint32] | NDArray[np.uint64]
"""A vector of ring entries, held in the narrowest unsigned lane that fits b bits."""


@dataclass(frozen=True)
class Ring:
    """Z_2^b.

    Attributes:
        bits: b, 1..64.
    """

    bits: int

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 64:
            raise OutOfRange(f"ring of {self.bits} bits: expected 1..64")

    @classmethod
    def holding(cls, inputs: int, bits: int) -> "Ring":
        """The smallest ring in which `inputs` values, each below 2**bits, add up without wrapping."""
        return cls((inputs * (2**bits - 1)).bit_length())

    def capacity(self, bits: int) -> int:
        """Most values, each below 2**bits, that add up without wrapping."""
        return int(2**self.bits - 1) // int(2**bits - 1)

    @property
    def lane(self) -> np.dtype[np.unsignedinteger]:
        """uint16 for b <= 16, uint32 for b <= 32, else uint64."""
        if self.bits <= 16:
            return np.dtype(np.uint16)
        return np.dtype(np.uint32 if self.bits <= 32 else np.uint64)

    def zeros(self, dim: int) -> Lanes:
        """A zero vector, shape (dim,)."""
        return np.zeros(dim, self.lane)

    def reduce(self, vector: Lanes) -> Lanes:
        """`vector` mod 2**b, in place; lanes are wider than b, so this is done once, at the end."""
        if self.bits < self.lane.itemsize * 8:
            vector &= self.lane.type(2**self.bits - 1)
        return vector
