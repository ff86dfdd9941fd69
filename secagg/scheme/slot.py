"""What names a party's place in a round before that round's session exists."""

import hashlib

from secagg.errors import PartyId
from secagg.wire import codec


class RoundSlot(codec.Message, frozen=True):
    """One party in one round of one run. What is prepared for it serves no other.

    Attributes:
        purpose: 32 bytes for the protocol and, where it authenticates, for the roster; see `Scheme.slot`.
        run, round: as in `Session`.
        party: its id.
    """

    purpose: bytes
    run: bytes
    round: int
    party: int | str

    def same_round(self, other: "RoundSlot") -> bool:
        """Whether both are of one round, whoever's they are."""
        return (self.purpose, self.run, self.round) == (other.purpose, other.run, other.round)

    @property
    def digest(self) -> bytes:
        """32 bytes that stand for it, for signatures."""
        return hashlib.sha256(b"secagg/slot/2" + codec.encode(self)).digest()

    @classmethod
    def of(cls, protocol: str, roster: bytes, run: bytes, round: int, party: PartyId) -> "RoundSlot":
        """`protocol` is its name, version and mode; `roster` a digest, or empty."""
        purpose = hashlib.sha256(b"secagg/purpose/2" + protocol.encode() + b"\0" + roster).digest()
        return cls(purpose, run, round, party)
