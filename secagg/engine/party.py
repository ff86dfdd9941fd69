"""A party's end of a round: each ask answered once, the answer kept before it leaves."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import NoReturn, Self

import numpy as np

from secagg.arguments import check_kind
from secagg.encoding.layout import Update
from secagg.encoding.ring import Lanes
from secagg.engine.exchange import check_capacity, check_ends, check_fingerprint, check_header, tag_of
from secagg.engine.prepared import Prepared
from secagg.engine.turn import Turn
from secagg.errors import (
    ConfigError,
    InputError,
    LocalMisuse,
    PartyId,
    PeerMisbehaved,
    PolicyRefused,
    SecaggError,
    StateError,
    WireError,
)
from secagg.primitives import sealing
from secagg.primitives.entropy import Entropy
from secagg.scheme import PartySide, Phase, Policy, Scheme, Seat, Session, Sum
from secagg.scheme.machine import check_indices
from secagg.wire import codec, frame

_STATE = b"secagg/state/party/3"


class _Round(codec.State):
    """What the engine knows of a party's round, whatever its scheme.

    Attributes:
        answered: {phase: checksum of its ask}, in the order of the phases.
        reply: to the last of them; empty to an announcement.
        heard: checksum of an ask that is in order and not answered yet; no other is taken before it.
        failure: why it has left the round.
        vector, contributors: what it has learnt, in protocols where parties learn something.
    """

    answered: dict[int, bytes] = {}
    reply: bytes = b""
    heard: bytes | None = None
    failure: str | None = None
    vector: bytes | None = None
    contributors: set[int] = set()

    def step(self) -> int:
        """How often this party has said its word."""
        return len(self.answered) + (self.failure is not None)

    def last(self) -> int:
        """The phase that was answered last, -1 before any."""
        return max(self.answered, default=-1)

    def check(self, session: Session, phases: int) -> None:
        """Raise WireError for what is no party's of this round."""
        check_indices(len(session.parties), self.contributors)
        if not all(0 <= phase < phases for phase in self.answered):
            raise WireError("saved state of a party that has answered a phase that there is not")
        if self.vector is not None and len(self.vector) != session.dim * session.ring.lane.itemsize:
            raise WireError("saved state with a sum of another size")


class _Saved(codec.State):
    """A `Participant` between two calls."""

    fingerprint: bytes
    session: bytes
    me: int
    context: bytes
    model: bytes | None
    terms: bytes
    policy: Policy
    keeps: bool
    prepared: bool
    round: _Round
    machine: bytes | None


class Participant:
    """One party's end of one round.

    Args:
        scheme, session: as the coordinator has them; `Session.from_bytes` reads what it sent.
        seat: this party's `Seat`; or its id alone, for one that brings nothing but a policy.
        policy: what this party takes part in, whatever the server says; with an id alone.
        prepared: what this party prepared for this round; it is used up.

    Attributes:
        session: the round.
        seat: what this party brings; its context is the session's where it has none of its own.

    Raises PolicyRefused, UnknownParty or ConfigError; LocalMisuse for what was used before.
    """

    def __init__(
        self,
        scheme: Scheme,
        session: Session,
        seat: Seat | PartyId,
        policy: Policy | None = None,
        prepared: Prepared | None = None,
    ) -> None:
        check_ends(scheme, session)
        check_kind("prepared", prepared, Prepared | None, "what `prepare` returned, or None")
        seat = _seated(seat, policy)
        self._enter(scheme, session, seat, prepared is not None)
        with nullcontext() if prepared is None else prepared.spent(scheme, session, seat) as state:
            self._machine: PartySide | None = scheme.party(session, self.seat, state)

    def _enter(self, scheme: Scheme, session: Session, seat: Seat, prepared: bool) -> None:
        clients = scheme.clients(session)
        seat.check_session(session, len(clients))
        check_capacity(scheme, session)
        self.scheme = scheme
        self.session = session
        self.seat = seat.at(session)
        self._roles = {phase.role for phase in scheme.phases if self.me in clients or phase.role != "client"}
        self._tag = tag_of(scheme, session)
        self._prepared = prepared
        self._round = _Round()
        self._ready = False  # whether the machine has read the ask that was heard
        self._turn = Turn(f"party {self.me!r}")

    def __reduce__(self) -> NoReturn:
        """What `copy` and `pickle` call. Two of one party would answer one ask with two vectors under one mask."""
        raise LocalMisuse(f"party {self.me!r} answers each ask once, so there are no copies; save(key) keeps it")

    @property
    def me(self) -> PartyId:
        """This party's id."""
        return self.seat.party

    @property
    def step(self) -> int:
        """Asks answered so far, and the one that was refused. It only grows: kept outside the state, it is the latch
        for `restore`.
        """
        return self._round.step()

    @property
    def left(self) -> str | None:
        """Why this party has left the round, for good; None while it is in it."""
        return self._round.failure

    @property
    def result(self) -> Sum | None:
        """What this party learns, in protocols where parties learn something; parties by their index."""
        known = self._round
        if known.vector is None:
            return None
        return Sum(np.frombuffer(known.vector, self.session.ring.lane).copy(), frozenset(known.contributors))

    def answer(
        self,
        ask: bytes,
        update: Update | Callable[[], Update] = None,
        weight: int = 1,
        store: Callable[["Participant"], object] | None = None,
    ) -> bytes | None:
        """The reply to one ask; None to an announcement. The same ask again gets the same bytes.

        What is no ask to this party in this session (damaged bytes, another session's or party's frame, a late copy of
        an ask that was answered in an earlier phase) is an accident of the network: it is refused and changes nothing.
        Any other refusal is final, whatever its class: the ask names this session and this party, and no server that
        follows the protocol sends it. This party's secrets are gone then, and further calls raise LocalMisuse. One
        call at a time: another, from a thread or from within `update` or `store`, raises LocalMisuse.

        Args:
            ask: bytes from the coordinator.
            update: arrays in the session's structure, `ABSTAIN`, or a callable that returns either (training, say);
                used only in the phase that takes input, and called when all that can be checked of the ask has been.
                Whatever it raises reaches the caller as it is; the same ask may be answered again then, and no other
                is.
            weight: integer weight_min..weight_max, where the session has weights; outside this party's own range
                (`Policy.weights`) it counts as its nearer end.
            store: called with this participant before the reply is returned, so that `save` can put it on disk; a
                participant that is restored answers the same ask with the same bytes. Also after a refusal that is
                final. The seat's own store is flushed after it.

        Raises:
            InputError: the update or weight cannot be summed; names this party and the position. Not final: nothing
                was revealed, and the same ask may be answered with a better one.
            PeerMisbehaved, PolicyRefused, InconsistentModel: the server asks what it must not; nothing was revealed.
            WireError: the bytes are no ask of this session, or no message of its phase; `left` tells the two apart.
        """
        with self._turn.change():
            found = self._opened(ask)
            if self._round.answered.get(found.phase) != found.checksum:
                self._advance(found, lambda: self._encoded(update, weight), store)
            self._keep(store)
            return self._round.reply or None

    def wants_update(self, ask: bytes, store: Callable[["Participant"], object] | None = None) -> bool:
        """Whether `answer` to this ask will use an update; all that can be checked of the ask has been then.

        For callers whose training is elsewhere: what a server cannot have answered, it cannot have trained for. The
        arguments and the errors are those of `answer`, as final. No other ask is taken before this one is answered,
        after a restart neither.
        """
        with self._turn.change():
            found = self._opened(ask)
            if self._round.answered.get(found.phase) == found.checksum:
                return False
            wants = self._heeded(found, store).wants_vector
            self._keep(store)
            return wants

    def _opened(self, ask: bytes) -> frame.Frame:
        """The frame, if it is this party's to answer, or was the last one. Nothing that is refused here is final."""
        found = frame.unwrap(ask)
        check_header(found, frame.ASK, self._tag, self.session, self.session.index(self.me))
        known = self._round
        if known.failure is not None:
            raise LocalMisuse(f"this party has left the round: {known.failure}")
        if known.answered.get(found.phase) == found.checksum and found.phase != known.last():
            name = self.scheme.phases[found.phase].name
            raise WireError(f"a late copy of the ask of phase {name!r}, which this party has answered")
        return found

    def _heeded(self, ask: frame.Frame, store: Callable[["Participant"], object] | None) -> PartySide:
        """The machine, which has read the ask."""
        assert self._machine is not None, "it has not left the round"
        try:
            if self._round.heard != ask.checksum or not self._ready:
                self._read(ask, self._machine)
        except SecaggError as error:
            self._refuse(error, store)
        return self._machine

    def _advance(
        self, ask: frame.Frame, encoded: Callable[[], Lanes], store: Callable[["Participant"], object] | None
    ) -> None:
        machine = self._heeded(ask, store)
        vector = encoded() if machine.wants_vector else None
        try:
            if vector is not None:
                self.seat.give(self.session)
            if not self._round.answered:  # not before: an ask that is malformed must not use up the round
                self.seat.enter(self.session)
            answer = machine.answer(vector)
        except SecaggError as error:
            vector = None
            self._refuse(error, store)
        known, self._ready = self._round, False
        known.heard = None
        known.reply = b"" if answer.reply is None else self._wrap(ask, answer.reply)
        known.answered[ask.phase] = ask.checksum
        if answer.result is not None:
            known.vector, known.contributors = answer.result.vector.tobytes(), set(answer.result.contributors)

    def _read(self, ask: frame.Frame, machine: PartySide) -> None:
        """All that can be checked before this party gives an input."""
        phase = self._next_phase(ask.phase)
        if self._round.heard not in (None, ask.checksum):
            raise PeerMisbehaved(f"a second, different ask in phase {phase.name!r}")
        message = codec.decode(ask.body, phase.ask)
        if not self._round.answered:
            self.seat.check_round(self.session)
        machine.read(phase, message)
        self._round.heard, self._ready = ask.checksum, True

    def _refuse(self, error: SecaggError, store: Callable[["Participant"], object] | None) -> NoReturn:
        """Leave the round, after a restart too; no secret is kept, for nothing is answered any more."""
        # Error reporters send the local variables of a traceback's frames, and those of the machine hold secrets.
        error.__traceback__ = None
        self._round.failure = str(error)
        self._machine = None
        self._keep(store)
        raise error from None

    def _keep(self, store: Callable[["Participant"], object] | None) -> None:
        """What this party has come to is kept before anybody hears of it, and the ledger first.

        Killed between the two, it may have to sit the round out; the other way round its state would answer again, and
        the ledger would never know.
        """
        if self.seat.store is not None:
            self.seat.store.flush()
        if store is not None:
            store(self)

    def _next_phase(self, index: int) -> Phase:
        """Phase `index`, if it is this party's turn to answer it."""
        phases, done = self.scheme.phases, self._round.last()
        if index >= len(phases):
            raise WireError(f"an ask of phase {index}: {self.scheme.name} has {len(phases)}")
        if index == done:
            raise PeerMisbehaved(f"a second, different ask in phase {phases[index].name!r}")
        if done < 0 and self._prepared and index:
            done = 0  # that reply left before the session existed
        # Phases of other roles than "client" may or may not ask this party.
        mine = [i for i, phase in enumerate(phases) if i > done and phase.role in self._roles]
        expected = next((i for i in mine if phases[i].role == "client" or i == index), None)
        if index != expected:
            name = None if expected is None else phases[expected].name
            raise PeerMisbehaved(f"ask of phase {phases[index].name!r}, expected {name!r}")
        return phases[index]

    def _wrap(self, ask: frame.Frame, message: codec.Message) -> bytes:
        return frame.wrap(frame.REPLY, ask.phase, ask.party, self._tag, ask.checksum, codec.encode(message))

    def _encoded(self, update: Update | Callable[[], Update], weight: int) -> Lanes:
        update, encoding = update() if callable(update) else update, self.session.encoding
        try:
            weight = weight if encoding.weights is None else self.seat.policy.clamped(weight)
            return encoding.encode(update, weight, self.seat.noise or self.seat.entropy)
        except InputError as error:
            raise error.of(self.me) from None

    def save(self, key: bytes, entropy: Entropy = os.urandom) -> bytes:
        """All state between two asks, encrypted and authenticated under `key`, 32 bytes."""
        return sealing.lock(key, self.state(), _STATE, entropy)

    def state(self) -> bytes:
        """The same, secrets included, unencrypted. Of a party that has left the round no secret is in it."""
        with self._turn.look():
            saved = _Saved(
                fingerprint=self.scheme.fingerprint,
                session=self.session.to_bytes(),
                me=self.session.index(self.me),
                context=self.seat.bound_context,
                model=self.seat.model,
                terms=self.seat.terms,
                policy=self.seat.policy,
                keeps=self.seat.store is not None,
                prepared=self._prepared,
                round=self._round,
                machine=None if self._machine is None else self._machine.save(),
            )
            return codec.encode(saved)

    @classmethod
    def restore(cls, scheme: Scheme, data: bytes, key: bytes, seat: Seat | PartyId, latch: int = 0) -> Self:
        """The participant that `save` wrote.

        `seat` is the party's again: its store and credentials are not part of the state; policy and context are, so
        that it cannot come back with a laxer policy. `latch` is the largest `step` this party is known to have
        reached, for callers who keep it apart from the state themselves; a `Journal` checks its own. Raises StateError
        for another scheme's or party's state, or one older than the latch: answering again with another update would
        give away the difference of the two.
        """
        try:
            return cls.of_state(scheme, sealing.unlock(key, data, _STATE), Seat.of(seat), latch)
        except SecaggError as error:
            # The frames below have decrypted state among their local variables, and error reporters send those.
            raise error.with_traceback(None) from None

    @classmethod
    def of_state(cls, scheme: Scheme, data: bytes, seat: Seat, latch: int = 0) -> Self:
        """The participant whose `state` it is; `restore` says what is refused."""
        try:
            saved = codec.load(data, _Saved)
            check_fingerprint(saved.fingerprint, scheme)
            session, policy = Session.from_bytes(saved.session), saved.policy
            check_indices(len(session.parties), [saved.me])
            saved.round.check(session, len(scheme.phases))
            _check_saved(saved, session, seat, latch)
            policy = policy.strictest(seat.policy)
            seat = replace(seat, policy=policy, context=saved.context, model=saved.model, terms=saved.terms)
            seat.check_session(session, len(scheme.clients(session)))
        except (WireError, ConfigError, PolicyRefused) as error:
            raise StateError(f"not a saved party: {error}") from error
        restored = cls.__new__(cls)
        restored._enter(scheme, session, seat, saved.prepared)
        restored._round, restored._machine = saved.round, None
        if saved.machine is not None:
            try:
                restored._machine = scheme.party(session, restored.seat, saved.machine)
            except (WireError, PolicyRefused) as error:
                raise StateError(f"not a saved party: {error}") from error
        return restored


def _seated(seat: Seat | PartyId, policy: Policy | None) -> Seat:
    if policy is None:
        return Seat.of(seat)
    if isinstance(seat, Seat):
        raise ConfigError("policy beside a seat, which has its own: give Seat(..., policy=...)")
    return Seat(seat, policy)


def _check_saved(saved: _Saved, session: Session, seat: Seat, latch: int) -> None:
    """Raise StateError unless it is this seat's state, and not an old one."""
    if session.parties[saved.me] != seat.party:
        raise StateError(f"state of party {session.parties[saved.me]!r}, expected that of {seat.party!r}")
    if saved.keeps and seat.store is None:
        raise StateError("this party keeps a ledger of what it has helped to open: restore it with its store")
    if seat.context not in (None, saved.context) or seat.model not in (None, saved.model):
        raise StateError(
            "state of a round that this party knows under another context or model; of an earlier round, if that was "
            "never ended"
        )
    if saved.round.step() < latch:
        raise StateError(f"state at step {saved.round.step()}, but this party is known to have reached step {latch}")
    if (saved.machine is None) != (saved.round.failure is not None):
        raise StateError("state of a party that has left the round and holds secrets, or the other way round")
