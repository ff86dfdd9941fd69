"""The rounds of one training run at the server: their numbers, and what parties have prepared for the next one."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from secagg.errors import ConfigError, OutOfRange, PartyId
from secagg.federation.messages import Ahead
from secagg.primitives.entropy import Entropy
from secagg.scheme.session import RUN_SIZE

MAX_PREPARED = 4096
"""Bytes of a message that is kept for the next round; those of pairwise masking have less than 600."""

Say: TypeAlias = Callable[[int, str], object]
"""Where lines for the log go, with their level, as `logging.Logger.log` takes them."""
T = TypeVar("T")


@dataclass(frozen=True)
class LatePolicy:
    """How many of a round's parties may be left to the next one, since they have no keys ready.

    Attributes:
        share: the largest share of those sampled, 0..1.
        least: so many others must be there.

    Raises OutOfRange for what is no share.
    """

    share: float
    least: int

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise OutOfRange(f"max_late is {self.share}: expected a share in 0..1")


@dataclass(frozen=True)
class RoundStart:
    """What a round begins with.

    Attributes:
        run, number: of its session.
        prepared: {party: message} for that round.
        last: whether the run ends with it, as far as the server knows; then it waits for the keys of all.
    """

    run: bytes
    number: int
    prepared: Mapping[PartyId, bytes]
    last: bool = False

    def ahead(self, parties: int) -> Ahead | None:
        """What tells a party of the round after this one, of so many parties; None where there is none."""
        return None if self.last else Ahead(self.run.hex(), self.number + 1, parties)

    def opened(
        self, sampled: Collection[str], allowed: LatePolicy, make: Callable[[Collection[str], Collection[str]], T]
    ) -> T:
        """`make(cohort, late)`: whoever has no keys ready is late, if those are few enough to go on without.

        The whole sample is the cohort in the last round, which has no next one to leave the late to, and where the
        scheme cannot run without them: a threshold, say. Raises ConfigError where it cannot run with them either.
        """
        ready = [party for party in sampled if party in self.prepared]
        late = [party for party in sampled if party not in self.prepared]
        if self.last or not late or len(late) > allowed.share * len(sampled) or len(ready) < allowed.least:
            return make(sampled, ())
        try:
            return make(ready, late)
        except ConfigError:
            return make(sampled, ())


class Run:
    """Numbers the secure rounds of one run, and keeps what parties prepared until its round begins.

    Lives as long as the server's process: after a restart there is another run, and parties send their keys anew.
    """

    def __init__(self, entropy: Entropy, say: Say) -> None:
        self._id = entropy(RUN_SIZE)
        self._say = say
        self._next = 0
        self._prepared: dict[PartyId, bytes] = {}

    def begin(self, last: bool = False) -> RoundStart:
        """A new round. Whatever becomes of it, neither its number nor what was prepared for it serves again."""
        start = RoundStart(self._id, self._next, self._prepared, last)
        self._next, self._prepared = self._next + 1, {}
        return start

    def keep(self, prepared: Mapping[PartyId, bytes]) -> None:
        """What parties prepared for the next round; its `Coordinator` checks it."""
        for party, message in prepared.items():
            if len(message) > MAX_PREPARED:
                why = f"party {party} prepared {len(message)} bytes, expected keys"
                self._say(logging.WARNING, f"secure aggregation: {why}")
            else:
                self._prepared[party] = message
