"""The server's end of one round: what is asked of whom, and what becomes of the replies. A framework moves both."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, TypeVar

from msgspec import Meta

from secagg.api import Aggregate, Coordinator
from secagg.arguments import checked
from secagg.errors import ConfigError, PartyId, WireError
from secagg.federation.choice import SchemeChoice
from secagg.federation.context import model_digest, session_context
from secagg.federation.messages import PREPARE, Ahead, Ask, Reply
from secagg.federation.metrics import MeanMetric, read_metrics
from secagg.federation.update import EncodingSpec, Model
from secagg.primitives.entropy import Entropy
from secagg.scheme import Roster

MAX_PREPARED = 4096
"""Bytes of a message that is kept for the next round; those of pairwise masking have less than 600."""

T = TypeVar("T")
_Share = Annotated[float, Meta(ge=0, le=1, title="a share in 0..1")]


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
        object.__setattr__(self, "share", checked("max_late", self.share, _Share))


@dataclass(frozen=True)
class Plan:
    """What all rounds of a training run have in common.

    Attributes:
        choice: the scheme, for a cohort of any size.
        encoding: how updates are summed.
        weighted_by: name of the reply's value that is the weight.
        late: who may be left to the next round.
        roster: of the parties' identities, where the scheme is `authenticated`.
        entropy: source of the ids of the run and its sessions.
        say: where lines for the log go, with their level, as `logging.Logger.log` takes them.
        party: what the framework calls one: a node, a site.

    Raises ConfigError for arguments of another type, and a choice that no cohort can run.
    """

    choice: SchemeChoice
    encoding: EncodingSpec
    weighted_by: str
    late: LatePolicy
    roster: Roster | None
    entropy: Entropy
    say: Callable[[int, str], object]
    party: str = "party"

    def __post_init__(self) -> None:
        self.choice.check_usable()
        checked("weighted_by", self.weighted_by, str)
        if not isinstance(self.roster, Roster | None):
            raise ConfigError(f"roster is {type(self.roster).__name__}, expected a Roster or None")
        if not callable(self.entropy):
            raise ConfigError(f"entropy is {self.entropy!r}: expected a function of the number of bytes")


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


class Round:
    """One round over the parties that the framework sampled.

    Args:
        plan: the run's.
        parties: the cohort, distinct.
        model: that they train.
        start: its number in the run, and what was prepared for it.
        late: parties that are left out, and only asked to prepare the next round; none in the last one, and none
            without a scheme that can.

    Attributes:
        model, left_out: as given.
        coordinator: the protocol's state.
        prepared: {party: message} for the next round, as far as they have come.

    Raises ConfigError for options that do not fit the cohort or the model.
    """

    def __init__(
        self, plan: Plan, parties: Collection[str], model: Model, start: RoundStart, late: Collection[str] = ()
    ) -> None:
        scheme = plan.choice.made(len(parties))
        self.model = model
        self.left_out = frozenset(late)
        self.prepared: dict[PartyId, bytes] = {}
        ahead, slot, prepared = None, (b"", 0), None
        if scheme.prepares:
            ahead, slot, prepared = start.ahead(len(parties)), (start.run, start.number), start.prepared
        invitation = plan.choice.invitation(scheme, model_digest(model.arrays), plan.weighted_by, plan.encoding.metrics)
        self._terms = invitation.to_bytes()
        session = plan.encoding.session(
            parties,
            model,
            context=session_context(model.received, self._terms),
            run=slot[0],
            round=slot[1],
            entropy=plan.entropy,
        )
        self.coordinator = Coordinator(scheme, session, plan.roster, prepared)
        self._plan, self._ahead = plan, ahead
        self._session = session.to_bytes()
        self._phases = {phase.name: phase for phase in scheme.phases}
        self._last = [phase.name for phase in scheme.phases if phase.role == "client"][-1]
        self._greeted: set[PartyId] = set()
        self._asked: frozenset[PartyId] = frozenset()

    @property
    def takes_input(self) -> bool:
        """Whether the open phase is the one in which clients train."""
        phase = self.coordinator.phase
        return phase is not None and self._phases[phase].takes_input

    def asks(self) -> dict[str, Ask]:
        """{party: ask} of the open phase."""
        phase = self.coordinator.phase
        assert phase is not None
        asks = self.coordinator.asks()
        self._asked = frozenset(asks)
        return {str(party): self._ask(phase, party, frame) for party, frame in asks.items()}

    def _ask(self, phase: str, party: PartyId, frame: bytes) -> Ask:
        terms, session = (None, None) if party in self._greeted else (self._terms, self._session)
        self._greeted.add(party)
        return Ask(phase, frame, terms, session, self._ahead if phase == self._last else None)

    def requests(self) -> dict[str, Ask]:
        """{party: ask} of those who are left out: to prepare the next round, which nobody waits for."""
        if self._ahead is None:
            return {}
        return dict.fromkeys(self.left_out, Ask(PREPARE, b"", self._terms, None, self._ahead))

    def receive(self, party: str, read: Callable[[], Reply]) -> bool:
        """One reply, if `read` gives one; else it is logged, and its sender counts as lost.

        Strangers, and who was not asked, are passed over.
        """
        try:
            reply = read()
        except (WireError, ConfigError) as error:
            self.warn(party, str(error))
            return False
        if reply.prepared is not None and (party in self._asked or party in self.left_out):
            if len(reply.prepared) > MAX_PREPARED:
                self.warn(party, f"prepared {len(reply.prepared)} bytes, expected keys")
            else:
                self.prepared[party] = reply.prepared
        if reply.frame is not None and party in self._asked:
            self.coordinator.receive(party, reply.frame)
        return True

    def warn(self, party: str, why: str | None) -> None:
        """Log why a party sent no reply."""
        self._plan.say(logging.WARNING, f"secure aggregation: {self._plan.party} {party}: {why}")

    def result(self) -> Aggregate:
        """The aggregate after the last phase. Raises PeerMisbehaved, or ConfigError where the server learns none."""
        result = self.coordinator.result
        if result is None:
            raise ConfigError("this scheme gives the sum to the clients alone, and a framework needs it at the server")
        return result

    def metrics(self) -> dict[str, MeanMetric]:
        """The metrics that somebody has. Raises what `result` does."""
        encoding = self._plan.encoding
        return read_metrics(self.result().sum, encoding.metrics, encoding.bits)
