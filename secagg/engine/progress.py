"""What the server's end knows of a round, whatever its scheme, as it is saved."""

from secagg.engine.exchange import Bodies
from secagg.errors import WireError
from secagg.scheme.machine import Present, check_indices
from secagg.wire import codec


class Tally(codec.State):
    """Bytes that crossed the wire in one phase: sent in total, and accepted from each party."""

    sent: int = 0
    received: dict[int, int] = {}


class Progress(codec.State):
    """What the engine knows of a round, whatever its scheme; parties are indices.

    Attributes:
        phase: the open one; the number of phases after the last.
        alive: clients that answered every ask so far.
        asks: of the open phase, once they are made.
        replies: {party: checksum of its accepted reply}, in the open phase.
        rejected: who sent a bad message in the open phase.
        lost, misbehaved, accused: as in `Aggregate`.
        tallies: one a phase.
        failure: why the round ended without a sum.
        vector, contributors: of the sum, once it is known.
    """

    phase: int
    alive: set[int]
    tallies: list[Tally]
    asks: Bodies | None = None
    replies: dict[int, bytes] = {}
    rejected: set[int] = set()
    lost: dict[int, str] = {}
    misbehaved: dict[int, str] = {}
    accused: dict[int, str] = {}
    failure: str | None = None
    vector: bytes | None = None
    contributors: set[int] = set()

    def check(self, parties: int, phases: int) -> None:
        """Raise WireError for what is no state of a round of so many parties and phases."""
        check_indices(parties, self.alive, self.replies, self.rejected, self.contributors)
        check_indices(parties, self.lost, self.misbehaved, self.accused, *(tally.received for tally in self.tallies))
        if not 0 <= self.phase <= phases or len(self.tallies) != phases:
            raise WireError(f"saved state of a round at phase {self.phase} of {len(self.tallies)}, expected {phases}")
        if self.asks is not None:
            self.asks.check(parties)
        if not all(0 <= size < 2**63 for tally in self.tallies for size in (tally.sent, *tally.received.values())):
            raise WireError("saved state of a round with more bytes than anybody sends")
        if self.rejected & self.replies.keys():
            raise WireError("saved state of a round that has taken a reply and rejected it")

    def present(self) -> Present:
        """Who takes part in the open phase."""
        asked = None if self.asks is None else self.asks.of.keys() | self.replies.keys() | self.rejected
        return Present(frozenset(self.alive), asked, self.replies.keys())


class Saved(codec.State):
    """A `Coordinator` between two calls."""

    fingerprint: bytes
    session: bytes
    round: Progress
    stage: bytes | None
