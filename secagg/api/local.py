"""All parties of a round in one process: for simulations, tests and benchmarks."""

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from time import perf_counter
from typing import Any, TypeVar

from secagg.encoding.encoding import ABSTAIN
from secagg.encoding.layout import Update
from secagg.encoding.quantize import Rounding
from secagg.engine import Aggregate, Coordinator, Participant
from secagg.engine.result import PhaseRole
from secagg.errors import (
    BadCohort,
    BadWeight,
    ConfigError,
    InputError,
    PartyId,
    ProtocolError,
    SecaggError,
    TooFew,
    UnknownParty,
    UnknownPhase,
    WireError,
)
from secagg.primitives.entropy import Entropy
from secagg.scheme import Credentials, Policy, Scheme, Seat, Session
from secagg.scheme.policy import USUAL
from secagg.scheme.session import party_id

P = TypeVar("P", bound=PartyId)
"""int or str: a mapping's key type is invariant, so one that has only str keys is no mapping of PartyId."""


def aggregate(
    updates: Mapping[P, Update],
    scheme: Scheme,
    *,
    weights: Mapping[P, int] | None = None,
    weight_max: int | None = None,
    weight_min: int | None = None,
    bits: int = 16,
    clip: Update = 1.0,
    rounding: Rounding | None = None,
    lost: Mapping[P, str] | None = None,
    policy: Policy | None = None,
    context: bytes = b"",
    entropy: Entropy = os.urandom,
    noise: Entropy | None = None,
) -> Aggregate:
    """Run one round among `updates`' parties, over the same bytes that would cross a network.

    Args:
        updates: {client: array, number, or list/tuple/dict of them}; all of one structure, or `ABSTAIN`. Floats are
            quantized, integers summed as they are and must lie in 0..2**bits - 1. Never changed.
        scheme: such as `PairwiseMasking()`. One that is `authenticated` gets identities made for this round.
        weights: {party: integer in weight_min..weight_max}; for a weighted `mean`. None leaves its party in clear.
        weight_max: a bound known to all, needed with `weights`; never the cohort's own maximum, which would tell it.
        weight_min: a bound known to all likewise; a hundredth of weight_max where not given.
        bits: per entry, 2..32 (1..32 for integers alone).
        clip: floats are clipped to [-clip, clip]; a number, or one or an array for each array of the update.
        rounding: of floats, "nearest" (default without weights) or "stochastic" (with weights).
        lost: {party: phase} of parties that go silent from that phase on.
        policy: of every party; its defaults refuse weights that spread too far for the bits.
        context: names the model, round and configuration.
        entropy: source of all secrets; only `secagg.testing` has a deterministic one.
        noise: source of stochastic rounding, for simulations that are to be run again; `entropy` where not given.

    Returns:
        The aggregate. `contributors` includes a party lost after it sent its masked vector.

    Raises:
        BadCohort, OutOfRange, UnknownParty, UnknownPhase: parameters that cannot work.
        NotFinite, ShapeMismatch, BadDtype, OutOfRing, BadWeight: an input; names party and position.
        PolicyRefused: a session that `policy` refuses.
        TooFew: too many were lost; no sum was opened.
    """
    _check_kinds(updates, scheme, weights, lost, policy)
    if not updates:
        raise BadCohort("0 parties: expected 2 or more")
    inputs: dict[PartyId, Update] = dict[Any, Update](updates)
    counts: dict[PartyId, int] | None = None if weights is None else dict[Any, int](weights)
    first = next((party for party, update in inputs.items() if update is not ABSTAIN), None)
    if first is None:
        raise BadCohort(f"all {len(inputs)} parties abstain: expected an update of one")
    try:
        session = Session.create(
            [*inputs, *_helpers(scheme, inputs)],
            inputs[first],
            helpers=scheme.helpers,
            bits=bits,
            clip=clip,
            weight_max=_weight_max(counts, weight_max),
            weight_min=weight_min,
            rounding=rounding,
            context=context,
            entropy=entropy,
        )
    except InputError as error:
        raise error.of(first) from None
    _check_weights(inputs, counts)
    silent = _silent(session, scheme, dict[Any, str](lost or {}))
    seats = {party: replace(seat, noise=noise) for party, seat in seats_for(scheme, session, policy, entropy).items()}
    _check_updates(session, inputs, counts, policy or USUAL)
    return LocalRound(scheme, session, inputs, counts, silent, seats).run()


class LocalRound:
    """A round among parties of this process, over the same bytes that would cross a network, one phase after another.

    A subclass may watch, change, delay or lose messages: `answer` is all that happens to an ask, `exchange` a phase.

    Args:
        scheme, session: the round.
        updates: {client: update}.
        weights: {client: weight}, where the session has weights.
        lost: {party: name of the phase from which it is silent}.
        seats: what each party brings; see `seats_for`.

    Attributes:
        scheme, session, seats: as given.
        coordinator, participants: the two ends.
        refusals: {party: why it refused an ask}.
        seconds: {(phase, "client"): spent by each party that answered}.
    """

    def __init__(
        self,
        scheme: Scheme,
        session: Session,
        updates: Mapping[PartyId, Update],
        weights: Mapping[PartyId, int] | None = None,
        lost: Mapping[PartyId, str] | None = None,
        seats: Mapping[PartyId, Seat] | None = None,
    ) -> None:
        self.scheme = scheme
        self.session = session
        self.seats = seats_for(scheme, session) if seats is None else seats
        self.refusals: dict[PartyId, SecaggError] = {}
        self.seconds: defaultdict[PhaseRole, list[float]] = defaultdict(list)
        self._updates = updates
        self._weights = weights or {}
        self._names = [phase.name for phase in scheme.phases]
        self._lost = lost or {}
        self.coordinator, self.participants = self.ends()

    def ends(self) -> tuple[Coordinator, dict[PartyId, Participant]]:
        """The coordinator and all participants."""
        roster = self.seats[self.session.parties[0]].roster
        return Coordinator(self.scheme, self.session, roster), {
            party: Participant(self.scheme, self.session, seat) for party, seat in self.seats.items()
        }

    def run(self) -> Aggregate:
        """All phases. Raises what the coordinator raises, because of the first refusal where there was one."""
        while not self.coordinator.done:
            self.step()
        result = self.coordinator.result
        if result is None:
            raise ConfigError("the scheme's server learnt no sum in its last phase")
        medians = {key: median(spent) for key, spent in self.seconds.items()}
        return replace(result, seconds=result.seconds | medians)

    def step(self) -> None:
        """One phase: ask, answer, receive, close."""
        self.exchange()
        try:
            self.coordinator.close_phase()
        except TooFew as error:
            raise error from next(iter(self.refusals.values()), None)

    def exchange(self) -> None:
        """One phase, left open."""
        asks = self.coordinator.asks()
        phase = self.coordinator.phase or ""
        for party, ask in asks.items():
            if self.is_silent(party, phase):
                continue
            reply = self.answer(phase, party, ask)
            if reply is not None:
                self.coordinator.receive(party, reply)

    def is_silent(self, party: PartyId, phase: str) -> bool:
        """Whether the party has gone by then."""
        return party in self._lost and self._names.index(self._lost[party]) <= self._names.index(phase)

    def answer(self, phase: str, party: PartyId, ask: bytes) -> bytes | None:
        """One party's reply; None where there is none, or the party refuses."""
        start, weight = perf_counter(), self._weights.get(party, 1)
        try:
            reply = self.participants[party].answer(ask, self._updates.get(party), weight)
        except (ProtocolError, WireError) as refusal:
            self.refusals[party] = refusal
            return None
        self.seconds[phase, "client"].append(perf_counter() - start)
        return reply


def seats_for(
    scheme: Scheme,
    session: Session,
    policy: Policy | None = None,
    entropy: Entropy = os.urandom,
    credentials: Mapping[PartyId, Credentials] | None = None,
) -> dict[PartyId, Seat]:
    """A seat of every party, with identities made for this round (or `credentials`) where the scheme authenticates."""
    if credentials is None:
        credentials = Credentials.generate(session.parties, entropy) if scheme.authenticated else {}
    own = policy or USUAL
    return {party: Seat(party, own, None, entropy, credentials.get(party)) for party in session.parties}


def _check_kinds(updates: Any, scheme: Any, weights: Any, lost: Any, policy: Any) -> None:
    for name, value, kind, expected in (
        ("updates", updates, Mapping, "a dict {party: update}"),
        ("scheme", scheme, Scheme, "a Scheme, such as PairwiseMasking()"),
        ("weights", weights, Mapping | None, "a dict {party: weight} or None"),
        ("lost", lost, Mapping | None, "a dict {party: phase} or None"),
        ("policy", policy, Policy | None, "a Policy or None"),
    ):
        if not isinstance(value, kind):
            raise ConfigError(f"{name} is {type(value).__name__}, expected {expected}")


def _helpers(scheme: Scheme, updates: Mapping[PartyId, Update]) -> list[PartyId]:
    """The scheme's helpers, who are parties of the session and give no update."""
    for party in updates:
        if party in scheme.helpers:
            raise ConfigError(f"party {party!r} has an update, and helps in {scheme.name} without giving one")
    return sorted(scheme.helpers, key=lambda party: (isinstance(party, str), party))


def _weight_max(weights: Mapping[PartyId, int] | None, weight_max: int | None) -> int | None:
    if weights is not None and weight_max is None:
        raise ConfigError(
            "weights without weight_max: give a bound that is known to all beforehand, such as 1000; "
            "the cohort's own maximum would tell that party's weight"
        )
    if weights is None and weight_max is not None:
        raise ConfigError("weight_max without weights: give each party's weight")
    return weight_max


def _check_weights(updates: Mapping[PartyId, Update], weights: Mapping[PartyId, int] | None) -> None:
    if weights is None:
        return
    for party in weights:
        if party not in updates:
            raise UnknownParty(f"weights name party {party!r}, which has no update")
    for party in updates:
        if party not in weights:
            raise BadWeight("no weight given, and the others have one", party)


def _silent(session: Session, scheme: Scheme, lost: Mapping[PartyId, str]) -> dict[PartyId, str]:
    """{party: phase from which it is silent}, all of them known."""
    names = [phase.name for phase in scheme.phases]
    for party, phase in lost.items():
        session.index(party)
        if phase not in names:
            raise UnknownPhase(f"party {party!r} lost at {phase!r}: {scheme.name} has the phases {', '.join(names)}")
    return {party_id(party): phase for party, phase in lost.items()}


def _check_updates(
    session: Session, updates: Mapping[PartyId, Update], weights: Mapping[PartyId, int] | None, policy: Policy
) -> None:
    """All inputs before the first message."""
    for party, update in updates.items():
        try:
            session.encoding.check_update(update, 1 if weights is None else policy.clamped(weights[party]))
        except InputError as error:
            raise error.of(party) from None
