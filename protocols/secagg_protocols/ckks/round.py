"""One round as the server has it."""

from collections.abc import Iterable
from dataclasses import dataclass

from secagg.primitives.ckks import Parameters
from secagg.scheme import Session


@dataclass(frozen=True)
class Round:
    """The public facts of one round.

    Attributes:
        session, parameters: of the round.
        designated: how many clients are asked to deal, and how many to hold the key.
        quorum: how many of the holders must open the same sum.
        context: digest that clients show of what they say the round is about.
    """

    session: Session
    parameters: Parameters
    designated: int
    quorum: int
    context: bytes

    @property
    def n(self) -> int:
        """Parties of the session."""
        return len(self.session.parties)

    def chosen(self, present: Iterable[int], start: int) -> frozenset[int]:
        """The first few of those present, in a circle from `start`."""
        return frozenset(sorted(present, key=lambda i: (i - start) % self.n)[: self.designated])
