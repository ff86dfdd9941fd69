"""Who of a roster makes up which round, by public bytes that nobody chose: a server that may lie picks no cohort.

The odds that a drawn cohort holds more corrupt members than a protocol allows for are hypergeometric
(`PairwiseMasking.corrupt_of_draw`), where beacon, roster and corrupt members do not depend on each other.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import nsmallest
from typing import Annotated

import msgspec
from msgspec import Meta

from secagg.arguments import check_fields, checked, whole
from secagg.errors import BadCohort, PartyId, PolicyRefused
from secagg.scheme.policy import LEAST_COHORT
from secagg.scheme.roster import Roster
from secagg.scheme.session import MAX_PARTIES, MAX_ROUND

MIN_BEACON, MAX_BEACON = 16, 1024
_LABEL = b"secagg/draw/1"


@dataclass(frozen=True)
class Draw:
    """The cohort of each round number, the same in every run, since it is the server who names runs and sessions.

    Attributes:
        beacon: public bytes, 16 to 1024, that nobody could foresee or choose, made once the roster stood: a lottery's
            numbers, a value of a public beacon for a date that was named before. A new roster takes a new one.
        size: members of each cohort; at least 2.
        rounds: how many there are, numbered from 0. A server may run any of them, in any order, and so has the best
            cohort of so many.

    Raises OutOfRange or ConfigError for what is none of this.
    """

    beacon: Annotated[bytes, Meta(min_length=MIN_BEACON, max_length=MAX_BEACON, title="16 to 1024 bytes")]
    size: Annotated[int, Meta(ge=LEAST_COHORT, le=MAX_PARTIES)]
    rounds: Annotated[int, Meta(ge=1, le=MAX_ROUND)]

    def __post_init__(self) -> None:
        check_fields(self)

    def cohort(self, roster: Roster, round: int) -> tuple[PartyId, ...]:
        """The `size` members of the roster with the least hashes in that round, least first.

        Raises OutOfRange for a round that is not among `rounds`, BadCohort for a roster that is too small.
        """
        checked("round", round, whole(0, self.rounds - 1, " (Draw.rounds)"))
        self.check_roster(roster)
        return tuple(nsmallest(self.size, roster.parties, key=self._place(roster, round)))

    def check_roster(self, roster: Roster) -> None:
        """Raise BadCohort for a roster of fewer than `size` members."""
        if len(roster.parties) < self.size:
            raise BadCohort(f"cohorts of {self.size} from a roster of {len(roster.parties)}")

    def check_cohort(self, roster: Roster, round: int, parties: Iterable[PartyId]) -> None:
        """Raise PolicyRefused unless these parties are the round's cohort; a part of it would be a choice again."""
        if round >= self.rounds:
            raise PolicyRefused(f"round {round}: cohorts are drawn for {self.rounds} rounds")
        wrong = {*parties} ^ {*self.cohort(roster, round)}
        if wrong:
            raise PolicyRefused(f"not the cohort drawn for round {round}: {len(wrong)} parties too many or missing")

    def _place(self, roster: Roster, round: int) -> Callable[[PartyId], bytes]:
        """A party's hash in that round."""
        beacon = hashlib.sha256(self.beacon).digest()
        begun = hashlib.sha256(_LABEL + beacon + roster.digest + round.to_bytes(8, "little"))

        def place(party: PartyId) -> bytes:
            hashed = begun.copy()
            hashed.update(msgspec.msgpack.encode(party))
            return hashed.digest()

        return place
