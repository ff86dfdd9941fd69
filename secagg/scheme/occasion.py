"""What names a party's place in a round before that round's session exists."""

import hashlib

from secagg.errors import PartyId
from secagg.wire import codec


class Occasion(codec.Message, frozen=True):
    """One party in one round of one family. What is prepared for it serves no other.

    Attributes:
        purpose: 32 bytes for the protocol and, where it authenticates, for the roster; see `Scheme.occasion`.
        family, round: as in `Session`.
        party: its id.
    """

    purpose: bytes
    family: bytes
    round: int
    party: int | str

    def same_round(self, other: "Occasion") -> bool:
        """Whether both are of one round, whoever's they are."""
        return (self.purpose, self.family, self.round) == (other.purpose, other.family, other.round)

    @property
    def digest(self) -> bytes:
        """32 bytes that stand for it, for signatures."""
        return hashlib.sha256(b"secagg/occasion/1" + codec.encode(self)).digest()

    @classmethod
    def of(cls, protocol: str, roster: bytes, family: bytes, round: int, party: PartyId) -> "Occasion":
        """`protocol` is its name, version and mode; `roster` a digest, or empty."""
        purpose = hashlib.sha256(b"secagg/purpose/1" + protocol.encode() + b"\0" + roster).digest()
        return cls(purpose, family, round, party)
