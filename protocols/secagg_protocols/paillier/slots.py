"""Ring entries packed into plaintexts: as many as fit, each with room for the whole cohort's sum.

A slot is as wide as a ring entry, and the ring holds the sum of all parties' entries: what honest clients put in a
slot never reaches the next one, and the plaintext never reaches n. Entry i of a plaintext fills bits [i*b, (i+1)*b).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secagg.encoding.packing import pack, unpack
from secagg.encoding.ring import Lanes, Ring
from secagg.errors import ConfigError, PeerMisbehaved


@dataclass(frozen=True)
class Slots:
    """How a vector of one session lies in plaintexts.

    Attributes:
        dim: entries of the vector.
        ring: of b bits.
        width: bits of a plaintext.

    Raises ConfigError where not even one entry fits.
    """

    dim: int
    ring: Ring
    width: int

    def __post_init__(self) -> None:
        if self.in_each < 1:
            raise ConfigError(f"ring entries of {self.ring.bits} bits: a plaintext has {self.width}")

    @property
    def in_each(self) -> int:
        """Entries of one plaintext."""
        return self.width // self.ring.bits

    @property
    def plaintexts(self) -> int:
        """How many it takes; the last may be partly empty."""
        return -(-self.dim // self.in_each)

    def pack(self, vector: Lanes) -> list[int]:
        """(dim,) entries below 2**b to plaintexts."""
        step = self.in_each
        return [int.from_bytes(pack(vector[i : i + step], self.ring), "little") for i in range(0, self.dim, step)]

    def unpack(self, plaintexts: Sequence[int]) -> Lanes:
        """The inverse, of sums. Raises PeerMisbehaved for a plaintext that no sum of packed vectors is."""
        vector = np.empty(self.dim, self.ring.lane)
        for start, plaintext in zip(range(0, self.dim, self.in_each), plaintexts, strict=True):
            part = vector[start : start + self.in_each]
            bits = part.size * self.ring.bits
            if plaintext.bit_length() > bits:
                raise PeerMisbehaved(
                    "a sum that leaves its slots: some contributor, nobody can say who, encrypted none"
                )
            part[:] = unpack(plaintext.to_bytes((bits + 7) // 8, "little"), part.size, self.ring)
        return vector
