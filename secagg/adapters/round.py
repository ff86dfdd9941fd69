"""The server's end of one round: what is asked of whom, and what becomes of the replies. A framework moves both."""

from collections.abc import Collection
from dataclasses import dataclass

from secagg.adapters.choice import Offer, Terms
from secagg.adapters.run import Ahead, Opening
from secagg.adapters.update import Arrays, Numbers, counters_of
from secagg.api import Aggregate, Coordinator
from secagg.errors import ConfigError, PartyId
from secagg.primitives.entropy import Entropy
from secagg.scheme import Roster


@dataclass(frozen=True)
class Plan:
    """What all rounds of a training run have in common.

    Attributes:
        offer: the scheme, for a cohort of any size.
        numbers: how updates are summed.
        weighted_by: name of the reply's value that is the weight.
        roster: of the parties' identities, where the scheme is `authenticated`.
        entropy: source of the sessions' ids.
    """

    offer: Offer
    numbers: Numbers
    weighted_by: str
    roster: Roster | None
    entropy: Entropy


@dataclass(frozen=True)
class Asked:
    """One ask, for an envelope.

    Attributes:
        phase: its name.
        frame: bytes for `Participant.answer`.
        entry: (terms, session), how to enter the round; in a party's first ask of it.
        ahead: the round to prepare for with the reply; in the last phase, of protocols that can, if a round follows.
    """

    phase: str
    frame: bytes
    entry: tuple[Terms, bytes] | None
    ahead: Ahead | None


class Round:
    """One round over the parties that the framework sampled.

    Args:
        plan: the run's.
        parties: the cohort, distinct.
        arrays: the model that they train.
        counters: names of arrays that held integers in earlier rounds; a mean of integers is a float.
        context: digest of all that they train by, 32 bytes.
        opening: its number in the run, and what was prepared for it.
        late: parties that are left out, and only asked to prepare the next round; none in the last one, and none
            without a scheme that can.

    Attributes:
        arrays: the model.
        counters: names of arrays that hold integers now or did so before.
        coordinator: the protocol's state.
        left_out: `late`.
        prepared: {party: message} for the next round, as far as they have come.

    Raises ConfigError for options that do not fit the cohort or the model.
    """

    def __init__(
        self,
        plan: Plan,
        parties: Collection[str],
        arrays: Arrays,
        counters: frozenset[str],
        context: bytes,
        opening: Opening,
        late: Collection[str] = (),
    ) -> None:
        scheme = plan.offer.made(len(parties))
        self.arrays = arrays
        self.counters = counters | counters_of(arrays)
        self.left_out = frozenset(late)
        self.prepared: dict[PartyId, bytes] = {}
        run, number = (opening.run, opening.number) if scheme.prepares else (b"", 0)
        session = plan.numbers.session(parties, arrays, self.counters, context, plan.entropy, run=run, round=number)
        self.coordinator = Coordinator(scheme, session, plan.roster, opening.prepared if scheme.prepares else None)
        self._entry = plan.offer.terms(scheme, plan.weighted_by, plan.numbers.metrics), session.to_bytes()
        self._ahead = opening.ahead(len(parties)) if scheme.prepares else None
        self._phases = {phase.name: phase for phase in scheme.phases}
        self._last = scheme.phases[-1].name
        self._greeted: set[PartyId] = set()
        self._asked: frozenset[PartyId] = frozenset()

    @property
    def takes_input(self) -> bool:
        """Whether the open phase is the one in which clients train."""
        phase = self.coordinator.phase
        return phase is not None and self._phases[phase].takes_input

    def opened(self) -> dict[str, Asked]:
        """{party: ask} of the open phase."""
        phase = self.coordinator.phase
        assert phase is not None
        asks = self.coordinator.asks()
        self._asked = frozenset(asks)
        return {str(party): self._ask(phase, party, frame) for party, frame in asks.items()}

    def _ask(self, phase: str, party: PartyId, frame: bytes) -> Asked:
        entry = None if party in self._greeted else self._entry
        self._greeted.add(party)
        return Asked(phase, frame, entry, self._ahead if phase == self._last else None)

    def request(self) -> tuple[Terms, Ahead] | None:
        """What asks one that is left out to prepare the next round; None where there is none."""
        return None if self._ahead is None else (self._entry[0], self._ahead)

    def take(self, party: str, frame: bytes | None, prepared: bytes | None) -> None:
        """One reply; strangers, and who was not asked, are passed over."""
        if prepared is not None and (party in self._asked or party in self.left_out):
            self.prepared[party] = prepared
        if frame is not None and party in self._asked:
            self.coordinator.receive(party, frame)

    def result(self) -> Aggregate:
        """The aggregate after the last phase. Raises PeerMisbehaved, or ConfigError where the server learns none."""
        result = self.coordinator.result
        if result is None:
            raise ConfigError("this scheme gives the sum to the clients alone, and a framework needs it at the server")
        return result
