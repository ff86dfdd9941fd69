"""The server's end of a round: order, duplicates, strangers, wrong types, deadlines, save, restore and merge."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from statistics import median
from time import perf_counter

import numpy as np

from secagg.arguments import check_kind
from secagg.encoding.encoding import Decoded
from secagg.engine import prepared as ahead
from secagg.engine.exchange import Asks, Bodies, check_capacity, check_ends, check_fingerprint, check_header, tag_of
from secagg.engine.progress import Progress, Saved, Tally
from secagg.engine.result import Aggregate, PhaseRole
from secagg.engine.turn import Turn
from secagg.errors import (
    ConfigError,
    LocalMisuse,
    PartyId,
    PeerMisbehaved,
    ProtocolError,
    SecaggError,
    StateError,
    WireError,
)
from secagg.primitives import sealing
from secagg.primitives.entropy import Entropy
from secagg.scheme import Phase, Roster, Scheme, ServerStage, Session, Sum
from secagg.scheme.machine import Present
from secagg.wire import codec, frame

_STATE = b"secagg/state/server/2"


class Coordinator:
    """The server's end of one round.

    Loop: send `asks()`, hand what comes back to `receive`, and call `close_phase()` when all have answered or the
    deadline has passed, until `done`. A phase that asks nobody is closed by itself and costs no trip. One call at a
    time: a thread that calls while another one's call is not over gets LocalMisuse, whoever needs more takes a lock.

    Args:
        scheme, session: the round.
        roster: the parties' identities, where the scheme is `authenticated`.
        prepared: {party: `Prepared.message`} of those who answered the first phase before the session existed; they
            are not asked in it. What was prepared for another round is left aside and its party asked, and so are
            parties of other sessions; what is no message, or another's, costs its sender its place.

    Raises ConfigError, where the scheme's options do not fit the session.
    """

    def __init__(
        self,
        scheme: Scheme,
        session: Session,
        roster: Roster | None = None,
        prepared: Mapping[PartyId, bytes] | None = None,
    ) -> None:
        check_ends(scheme, session)
        check_kind("roster", roster, Roster | None, "a Roster or None")
        check_kind("prepared", prepared, Mapping | None, "a dict {party: bytes} or None")
        self._enter(scheme, session, roster)
        if prepared and not (scheme.prepares and session.run):
            lacking = "a session that belongs to no run" if scheme.prepares else f"{scheme.name}, which has none"
            raise ConfigError(f"replies that were prepared, for {lacking}")
        self._begin(prepared or {})

    def _begin(self, prepared: Mapping[PartyId, bytes]) -> None:
        for index, party in enumerate(self.session.parties):
            if party in prepared:
                self._receive_prepared(index, prepared[party])
        try:
            self._skip()
        except ProtocolError:
            self._round.failure = None  # `asks`, which the caller expects to fail, meets it again

    def _enter(self, scheme: Scheme, session: Session, roster: Roster | None) -> None:
        check_capacity(scheme, session)
        self.scheme = scheme
        self.session = session
        self._tag = tag_of(scheme, session)
        self._turn = Turn("the coordinator of this round")
        self._roster = roster
        self._known = scheme.server(session, roster)
        self._stage: ServerStage[object] | None = scheme.phases[0].server.begin(self._known)
        clients = set(map(session.index, scheme.clients(session)))
        self._round = Progress(0, clients, [Tally() for _ in scheme.phases])
        self._made: Asks | None = None
        self._sum: Sum | None = None
        self._result: Aggregate | None = None
        self._seconds: defaultdict[PhaseRole, float] = defaultdict(float)

    @property
    def phase(self) -> str | None:
        """Name of the open phase, None after the last."""
        phase = self._phase
        return None if phase is None else phase.name

    @property
    def _phase(self) -> Phase | None:
        phases = self.scheme.phases
        return phases[self._round.phase] if self._round.phase < len(phases) else None

    @property
    def done(self) -> bool:
        """Whether the last phase has closed."""
        return self._phase is None

    @property
    def waiting(self) -> frozenset[PartyId]:
        """Who was asked in this phase and is still to answer; empty means that `close_phase` loses nobody."""
        state, phase = self._round, self._phase
        with self._turn.look():
            if state.failure is not None or phase is None or phase.reply is None:
                return frozenset()
            return self.session.ids(self._opened(phase).indices.keys() - state.replies.keys() - state.rejected)

    @property
    def lost(self) -> dict[PartyId, str]:
        """{party: phase} of those lost so far."""
        return self._told(self._round.lost)

    @property
    def misbehaved(self) -> dict[PartyId, str]:
        """{party: why} of those whose message broke the protocol. It cost them what they were asked for: a client its
        place in the round, a party in another role that role.
        """
        return self._told(self._round.misbehaved)

    @property
    def accused(self) -> dict[PartyId, str]:
        """{party: why} of those of whom others say so, who may lie; they stay in the round."""
        return self._told(self._round.accused)

    def _told(self, of: Mapping[int, str]) -> dict[PartyId, str]:
        return {self.session.parties[i]: text for i, text in of.items()}

    def asks(self) -> Mapping[PartyId, bytes]:
        """{party: bytes to send it} of the open phase; the same on every call until it closes, empty at the end.

        Bytes are made when they are looked up, so that a thousand asks of one message are not a thousand copies.
        Raises TooFew where too little of what was prepared is any good.
        """
        with self._turn.change(), self.booked():
            self._check_open()
            self._skip()
            phase = self._phase
            return {} if phase is None else self._opened(phase)

    def _skip(self) -> None:
        """Close phases that ask nobody: their step needs no trip."""
        phase = self._phase
        while phase is not None and not self._opened(phase):
            self._close(phase)
            phase = self._phase

    def _opened(self, phase: Phase) -> Asks:
        """The asks of the open phase, made when they are first wanted."""
        if self._made is None:
            if self._round.asks is None:
                self._round.asks = self._bodies(phase)
                self._round.tallies[self._round.phase].sent = self._round.asks.total_size()
            self._made = Asks(self.session, self._tag, self._round.phase, self._round.asks)
        return self._made

    def _bodies(self, phase: Phase) -> Bodies:
        state = self._round
        messages = self._open_stage.asks(self._known, frozenset(state.alive))
        if phase.role == "client":
            for i in state.alive - messages.keys():
                state.lost.setdefault(i, phase.name)
            state.alive = set(messages)
        before = state.replies.keys() | state.rejected  # what they prepared is their answer
        return Bodies.encoding({i: message for i, message in messages.items() if i not in before})

    def receive(self, party: PartyId, data: bytes) -> None:
        """One reply, from the party that the transport says it is. Never raises for what the bytes hold.

        A peer's fault is recorded in `misbehaved` and costs the sender its place, or its role. A late reply, even
        after the round's end, or the same reply again changes nothing. Raises UnknownParty for a stranger.
        """
        index = self.session.index(party)
        with self._turn.change(), self.booked():
            self._receive(index, data)

    def _receive(self, i: int, data: bytes) -> None:
        phase, state = self._phase, self._round
        if state.failure is not None or phase is None:
            return  # too late
        asks = self._opened(phase)
        if i not in asks.indices or i in state.rejected:
            return
        try:
            reply = frame.unwrap(data)
            check_header(reply, frame.REPLY, self._tag, self.session, i)
            if self._is_repeated(i, reply):
                return
            self._check(i, reply, asks)
            self._open_stage.absorb(self._known, i, _decoded(reply.body, phase))
        except (ProtocolError, WireError) as error:
            state.misbehaved[i] = f"phase {phase.name!r}: {error}"
            if i not in state.replies:
                state.rejected.add(i)
            return
        self._accept(i, reply.checksum, data)

    def _receive_prepared(self, i: int, data: bytes) -> None:
        """As `receive`, before the first phase is open."""
        phase, session = self.scheme.phases[0], self.session
        expected = self.scheme.slot(session.run, session.round, session.parties[i], self._roster)
        try:
            reply = ahead.read(data, expected)
            if reply is None:
                return
            self._open_stage.absorb_prepared(self._known, i, _decoded(reply, phase))
        except (ProtocolError, WireError) as error:
            self._round.misbehaved[i] = f"phase {phase.name!r}, prepared: {error}"
            self._round.lost[i] = phase.name
            self._round.rejected.add(i)
            return
        self._accept(i, frame.checksum_of(data), data)

    def _accept(self, i: int, checksum: bytes, data: bytes) -> None:
        received = self._round.tallies[self._round.phase].received
        self._round.replies[i] = checksum
        received[i] = received.get(i, 0) + len(data)

    def _is_repeated(self, i: int, reply: frame.Frame) -> bool:
        """Whether the reply came before, in this phase or for one that has closed: late is no fault."""
        return reply.phase < self._round.phase or self._round.replies.get(i) == reply.checksum

    def _check(self, i: int, reply: frame.Frame, asks: Asks) -> None:
        """Raise for a frame that does not answer what this party was asked in the open phase."""
        if i in self._round.replies:
            raise PeerMisbehaved("a second, different reply; the first one counts")
        if reply.phase != self._round.phase:
            raise WireError(f"a reply to phase {reply.phase}, which has not begun")
        if reply.answers != asks.checksum(i):
            raise WireError("a reply to another ask than the one that was sent")

    def close_phase(self) -> None:
        """The deadline of the open phase: who has not answered is lost. After the last phase, `result` is set.

        Raises TooFew, or PeerMisbehaved naming the dealer of a mis-dealt secret; the round is over then.
        """
        with self._turn.change():
            with self.booked():
                self._check_open()
                if self._phase is None:
                    raise LocalMisuse("close_phase after the last phase")
                self._close(self._phase)
            with self.booked():
                self._skip()

    def _close(self, phase: Phase) -> None:
        state = self._round
        asked = self._opened(phase).indices.keys()
        answered = frozenset(asked if phase.reply is None else state.replies)
        for i in asked - answered:
            state.lost.setdefault(i, phase.name)
        for i, why in self._open_stage.accusations(self._known).items():
            state.accused.setdefault(i, f"phase {phase.name!r}: {why}")
        try:
            after = self._open_stage.close(self._known, phase.name, answered)
        except ProtocolError as error:
            state.failure = str(error)
            # The stage's frames have opened secrets among their local variables, and error reporters send those.
            raise error.with_traceback(None) from None
        self._stage, self._sum = (None, after) if isinstance(after, Sum) else (after, None)
        if phase.role == "client":
            state.alive = set(answered)
        state.phase += 1
        state.asks, self._made = None, None
        state.replies, state.rejected = {}, set()

    @property
    def _open_stage(self) -> ServerStage[object]:
        assert self._stage is not None, "a phase is open"
        return self._stage

    def _check_open(self) -> None:
        if self._round.failure is not None:
            raise LocalMisuse(f"this round has ended: {self._round.failure}")

    def merge(self, other: "Coordinator") -> None:
        """Take in what another coordinator of this round has received in the open phase.

        Both go on from one saved state, and each has heard from other parties: their sum is one round. The other must
        not be used any more.

        Raises:
            LocalMisuse: another round or phase, or a party from which both have heard.
            PeerMisbehaved: two of their senders cannot both be right; nothing is changed.
        """
        with self._turn.change(), other._turn.change():
            self._merge(other)

    def _merge(self, other: "Coordinator") -> None:
        mine, theirs = self._round, other._round
        if (self.scheme.fingerprint, self.session, mine.phase) != (
            other.scheme.fingerprint,
            other.session,
            theirs.phase,
        ):
            raise LocalMisuse("merge of another round, or of another phase of it")
        if mine.failure is not None or theirs.failure is not None:
            raise LocalMisuse(f"merge of a round that has ended: {mine.failure or theirs.failure}")
        if self._phase is None or mine.asks is None or mine.asks != theirs.asks:
            raise LocalMisuse("merge of a phase that was not opened before its state was shared")
        heard, others = ({*each.replies, *each.rejected} for each in (mine, theirs))
        if heard & others:
            twice = sorted(map(repr, self.session.ids(heard & others)))
            raise LocalMisuse(f"merge of two that have both heard from {', '.join(twice[:5])}")
        if others:
            self._open_stage.merge(self._known, other._open_stage)
        mine.replies |= theirs.replies
        mine.rejected |= theirs.rejected
        mine.misbehaved |= theirs.misbehaved
        mine.tallies[mine.phase].received |= theirs.tallies[mine.phase].received

    @property
    def result(self) -> Aggregate | None:
        """The aggregate, once `done`. Raises PeerMisbehaved where the summed weights are impossible."""
        if self._result is None and self.done and self._sum is not None:
            contributors = self._sum.contributors
            decoded = self.session.encoding.decode(self._sum.vector, len(contributors))
            self._result = Aggregate(
                **{field.name: getattr(decoded, field.name) for field in fields(Decoded)},
                contributors=self.session.ids(contributors),
                lost=self.lost,
                misbehaved=self.misbehaved,
                accused=self.accused,
                traffic=self._traffic(),
                seconds=dict(self._seconds),
            )
        return self._result

    @contextmanager
    def booked(self) -> Iterator[None]:
        """What every call runs in: its time is the open phase's. A benchmark books more than seconds."""
        phase, start = self.phase, perf_counter()
        try:
            yield
        finally:
            if phase is not None:
                self._seconds[phase, "server"] += perf_counter() - start

    def _traffic(self) -> dict[PhaseRole, float]:
        traffic: dict[PhaseRole, float] = {}
        for phase, tally in zip(self.scheme.phases, self._round.tallies, strict=True):
            traffic[phase.name, "server"] = tally.sent
            traffic[phase.name, "client"] = median(tally.received.values()) if tally.received else 0
        return traffic

    def save(self, key: bytes, entropy: Entropy = os.urandom) -> bytes:
        """All state at any point between two calls, encrypted and authenticated under `key`, 32 bytes."""
        return sealing.lock(key, self.state(), _STATE, entropy)

    def state(self) -> bytes:
        """The same, unencrypted: secret once the last phase is open."""
        with self._turn.change():
            return self._state()

    def _state(self) -> bytes:
        if self._sum is not None:
            self._round.vector, self._round.contributors = self._sum.vector.tobytes(), set(self._sum.contributors)
        stage = None
        if self._stage is not None:
            self._stage.settle(self._known)
            stage = codec.encode(self._stage)
        return codec.encode(Saved(self.scheme.fingerprint, self.session.to_bytes(), self._round, stage))

    @classmethod
    def restore(cls, scheme: Scheme, data: bytes, key: bytes, roster: Roster | None = None) -> "Coordinator":
        """The coordinator that `save` wrote. Raises StateError for anything else, or another scheme's."""
        try:
            return cls.of_state(scheme, sealing.unlock(key, data, _STATE), roster)
        except SecaggError as error:
            # The frames below have shares of secrets, in the last phase, among their local variables.
            raise error.with_traceback(None) from None

    @classmethod
    def of_state(cls, scheme: Scheme, data: bytes, roster: Roster | None = None) -> "Coordinator":
        """The coordinator whose `state` it is. Raises StateError when it is not one of this scheme's."""
        try:
            saved = codec.load(data, Saved)
            check_fingerprint(saved.fingerprint, scheme)
            session = Session.from_bytes(saved.session)
        except (WireError, ConfigError) as error:
            raise StateError(f"not a saved server: {error}") from error
        restored = cls.__new__(cls)
        restored._enter(scheme, session, roster)
        try:
            restored._load(saved)
        except WireError as error:
            raise StateError(f"not a saved server: {error}") from error
        return restored

    def _load(self, saved: Saved) -> None:
        phases, state = self.scheme.phases, saved.round
        state.check(len(self.session.parties), len(phases))
        if (saved.stage is None) != (state.phase == len(phases)):
            raise WireError("a stage without its phase, or a phase without its stage")
        self._stage = None
        if saved.stage is not None:
            self._stage = codec.load(saved.stage, phases[state.phase].server)
            self._check_present(phases[state.phase], state.present())
            self._stage.check(self._known, state.present())
        if state.vector is not None:
            ring, dim = self.session.ring, self.session.dim
            if len(state.vector) != dim * ring.lane.itemsize:
                raise WireError(f"saved sum of {len(state.vector)} bytes for {dim} entries")
            self._sum = Sum(np.frombuffer(state.vector, ring.lane).copy(), frozenset(state.contributors))
        self._round = state

    def _check_present(self, phase: Phase, present: Present) -> None:
        """Raise WireError for others than the session's clients, or asks of a client that is not there."""
        clients = set(map(self.session.index, self.scheme.clients(self.session)))
        present.check(alive=clients, asked=present.alive if phase.role == "client" else None)


def _decoded(body: bytes, phase: Phase) -> codec.Message:
    if phase.reply is None:
        raise PeerMisbehaved("a reply to an announcement")
    return codec.decode(body, phase.reply)
