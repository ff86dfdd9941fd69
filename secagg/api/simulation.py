"""All parties of a round in one process: for simulations, tests and benchmarks."""

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from time import perf_counter
from typing import Any, TypeVar

from secagg.api.ends import Coordinator, Participant
from secagg.api.result import Aggregate, PhaseRole
from secagg.encoding.layout import Update
from secagg.encoding.quantize import Rounding
from secagg.errors import (
    BadCohort,
    BadWeight,
    ConfigError,
    InputError,
    PartyId,
    ProtocolError,
    TooFew,
    UnknownParty,
    UnknownPhase,
)
from secagg.primitives.entropy import Entropy
from secagg.scheme import Credentials, Policy, Scheme, Seat, Session

P = TypeVar("P", bound=PartyId)
"""int or str: a mapping's key type is invariant, so one that has only str keys is no mapping of PartyId."""


def aggregate(
    updates: Mapping[P, Update],
    scheme: Scheme,
    *,
    weights: Mapping[P, int] | None = None,
    weight_max: int | None = None,
    bits: int = 16,
    clip: Update = 1.0,
    rounding: Rounding = "nearest",
    lost: Mapping[P, str] | None = None,
    policy: Policy | None = None,
    context: bytes = b"",
    entropy: Entropy = os.urandom,
) -> Aggregate:
    """Run one round among `updates`' parties, over the same bytes that would cross a network.

    Args:
        updates: {client: array, number, or list/tuple/dict of them}; all of one structure. Floats are quantized,
            integers summed as they are and must lie in 0..2**bits - 1. Never changed.
        scheme: such as `PairwiseMasking()`. One that is `authenticated` gets identities made for this round.
        weights: {party: integer in 1..weight_max}; makes `mean` the weighted mean. No weight leaves its party in clear.
        weight_max: a bound known to all, needed with `weights`; never the cohort's own maximum, which would tell it.
        bits: per entry, 2..32 (1..32 for integers alone).
        clip: floats are clipped to [-clip, clip]; a number, or one or an array for each array of the update.
        rounding: of floats, "nearest" or "stochastic".
        lost: {party: phase} of parties that go silent from that phase on.
        policy: of every party.
        context: names the model, round and configuration.
        entropy: source of all secrets; only `secagg.testing` has a deterministic one.

    Returns:
        The aggregate. `contributors` includes a party lost after it sent its masked vector.

    Raises:
        BadCohort, OutOfRange, UnknownParty, UnknownPhase: parameters that cannot work.
        NotFinite, ShapeMismatch, BadDtype, OutOfRing, BadWeight: an input; names party and position.
        TooFew: too many were lost; no sum was opened.
    """
    _check_kinds(updates, scheme, weights, lost, policy)
    if not updates:
        raise BadCohort("0 parties: expected 2 or more")
    inputs: dict[PartyId, Update] = dict[Any, Update](updates)
    counts: dict[PartyId, int] | None = None if weights is None else dict[Any, int](weights)
    first = next(iter(inputs))
    try:
        session = Session.create(
            [*inputs, *_helpers(scheme, inputs)],
            inputs[first],
            bits=bits,
            clip=clip,
            weight_max=_weight_max(counts, weight_max),
            rounding=rounding,
            context=context,
            entropy=entropy,
        )
    except InputError as error:
        raise error.of(first) from None
    _check_weights(inputs, counts)
    silent_from = _silent_from(session, scheme, dict[Any, str](lost or {}))
    _check_updates(session, inputs, counts)
    return _Simulation(session, scheme, inputs, counts, silent_from, policy, entropy).run()


class _Simulation:
    """One round: a coordinator and all its participants."""

    def __init__(
        self,
        session: Session,
        scheme: Scheme,
        updates: Mapping[PartyId, Update],
        weights: Mapping[PartyId, int] | None,
        silent_from: Mapping[PartyId, int],
        policy: Policy | None,
        entropy: Entropy,
    ) -> None:
        self._updates = updates
        self._weights = weights
        self._silent_from = silent_from
        members = Credentials.generate(session.parties, entropy) if scheme.authenticated else {}
        roster = members[session.parties[0]].roster if members else None
        self._coordinator = Coordinator(scheme, session, roster)
        self._phases = len(scheme.phases)
        self._participants = {
            party: Participant(scheme, session, Seat(party, policy or Policy(), None, entropy, members.get(party)))
            for party in session.parties
        }
        self._refusals: list[ProtocolError] = []
        self._seconds: defaultdict[PhaseRole, list[float]] = defaultdict(list)

    def run(self) -> Aggregate:
        for phase in range(self._phases):
            for party, ask in self._coordinator.asks().items():
                if phase < self._silent_from.get(party, self._phases):
                    self._answer(party, ask)
            try:
                self._coordinator.close_phase()
            except TooFew as error:
                raise error from (self._refusals[0] if self._refusals else None)
        result = self._coordinator.result
        if result is None:
            raise ConfigError("the scheme's server learnt no sum in its last phase")
        medians = {key: median(spent) for key, spent in self._seconds.items()}
        return replace(result, seconds=result.seconds | medians)

    def _answer(self, party: PartyId, ask: bytes) -> None:
        phase, start = self._coordinator.phase or "", perf_counter()
        weight = 1 if self._weights is None else self._weights.get(party, 1)
        try:
            reply = self._participants[party].answer(ask, self._updates.get(party), weight)
        except ProtocolError as refusal:
            self._refusals.append(refusal)
            return
        self._seconds[phase, "client"].append(perf_counter() - start)
        if reply is not None:
            self._coordinator.receive(party, reply)


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


def _silent_from(session: Session, scheme: Scheme, lost: Mapping[PartyId, str]) -> dict[PartyId, int]:
    """{party: index of the phase from which it is silent}."""
    names = [phase.name for phase in scheme.phases]
    silent = {}
    for party, phase in lost.items():
        index = session.index(party)
        if phase not in names:
            raise UnknownPhase(f"party {party!r} lost at {phase!r}: {scheme.name} has the phases {', '.join(names)}")
        silent[session.parties[index]] = names.index(phase)
    return silent


def _check_updates(session: Session, updates: Mapping[PartyId, Update], weights: Mapping[PartyId, int] | None) -> None:
    """All inputs before the first message."""
    for party, update in updates.items():
        try:
            session.encoding.check(update, 1 if weights is None else weights[party])
        except InputError as error:
            raise error.of(party) from None
