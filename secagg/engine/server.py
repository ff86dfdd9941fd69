"""The server's end of a round: order, duplicates, strangers, wrong types, deadlines, save and restore."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from secagg.engine import prepared as ahead
from secagg.engine.exchange import Asks, check_capacity, check_fingerprint, check_header
from secagg.errors import ConfigError, LocalMisuse, PartyId, PeerMisbehaved, ProtocolError, StateError, WireError
from secagg.scheme import Phase, Roster, Scheme, ServerSide, Session, Sum
from secagg.scheme.machine import SavedSum
from secagg.wire import codec, frame


class _Saved(codec.Message, frozen=True):
    """A `RoundServer` between two calls; parties are named by their index in the session."""

    fingerprint: bytes
    session: bytes
    machine: bytes
    phase: int
    alive: tuple[int, ...]
    asks: tuple[tuple[bytes, ...], tuple[tuple[int, int], ...]] | None
    replies: tuple[tuple[int, bytes], ...]
    rejected: tuple[int, ...]
    lost: tuple[tuple[int, int], ...]
    misbehaved: tuple[tuple[int, str], ...]
    accused: tuple[tuple[int, str], ...]
    traffic: tuple[tuple[int, int, int], ...]
    failure: str | None
    result: SavedSum | None


@dataclass
class Tally:
    """Bytes that crossed the wire in one phase, as the server saw them.

    Attributes:
        sent: by the server, in total.
        received: accepted from each party.
    """

    sent: int = 0
    received: Counter[PartyId] = field(default_factory=Counter)


class RoundServer:
    """Drives `scheme.server(session)`: ask, receive what comes, close at the deadline, next phase.

    Not thread-safe: one thread calls it at a time.

    Attributes:
        result: the sum, once the last phase has closed.
        lost: {party: phase} of those who were asked and did not answer, or could not be asked any more.
        misbehaved: {party: why} of those whose message broke the protocol; they are lost too.
        accused: {party: why} of those of whom others say so, who may lie; they stay in the round.
        tallies: one `Tally` per phase.

    Args:
        prepared: {party: its reply to the first phase, from before the session}. Who is not of the session, or
            prepared for another round, is as if it were not there.
    """

    def __init__(
        self,
        scheme: Scheme,
        session: Session,
        roster: Roster | None = None,
        prepared: Mapping[PartyId, bytes] | None = None,
    ) -> None:
        check_capacity(scheme, session)
        self.scheme = scheme
        self.session = session
        self.result: Sum | None = None
        self.lost: dict[PartyId, str] = {}
        self.misbehaved: dict[PartyId, str] = {}
        self.accused: dict[PartyId, str] = {}
        self.tallies = [Tally() for _ in scheme.phases]
        self._machine: ServerSide = scheme.server(session, roster=roster)
        self._roster = roster
        self._phase = 0
        self._alive = scheme.clients(session)
        self._asks: Asks | None = None
        self._replies: dict[PartyId, bytes] = {}  # checksum of the accepted reply
        self._rejected: set[PartyId] = set()  # sent a bad message in the open phase
        self._failure: str | None = None
        if prepared and not (scheme.prepares and session.run):
            lacking = "a session that belongs to no run" if scheme.prepares else f"{scheme.name}, which has none"
            raise ConfigError(f"replies that were prepared, for {lacking}")
        for party in session.parties:
            if prepared and party in prepared:
                self._receive_prepared(party, prepared[party])

    @property
    def phase(self) -> Phase | None:
        """The open phase, None after the last."""
        return self.scheme.phases[self._phase] if self._phase < len(self.scheme.phases) else None

    @property
    def waiting(self) -> frozenset[PartyId]:
        """Who was asked in this phase and is still to answer."""
        phase = self.phase
        if self._failure is not None or phase is None or phase.reply is None:
            return frozenset()
        return frozenset(self._opened(phase)) - self._replies.keys() - self._rejected

    def asks(self) -> Mapping[PartyId, bytes]:
        """{party: bytes to send} of the open phase; the same on every call until it closes, empty at the end.

        Bytes are made when they are looked up, so that a thousand asks of one message are not a thousand copies.
        """
        phase = self._open_phase()
        return {} if phase is None else self._opened(phase)

    def _opened(self, phase: Phase) -> Asks:
        """The asks of the open phase, made when they are first wanted."""
        if self._asks is None:
            messages = self._machine.open(phase, self._alive)
            if phase.role == "client":
                for party in self._alive - set(messages):
                    self.lost[party] = phase.name
                self._alive = frozenset(messages)
            before = self._replies.keys() | self._rejected  # what they prepared is their answer
            messages = {party: message for party, message in messages.items() if party not in before}
            self._asks = Asks.encoding(self.session, self._phase, messages)
            self.tallies[self._phase].sent = self._asks.total_size()
        return self._asks

    def receive(self, party: PartyId, data: bytes) -> None:
        """Take one reply. A peer's fault never raises: it is recorded in `misbehaved` and costs the sender its place.

        A late reply, even after the round's end, or the same reply again changes nothing. Raises UnknownParty for a
        party that is not of the session: the transport must know who is speaking.
        """
        index = self.session.index(party)
        party = self.session.parties[index]
        phase = self.phase
        if self._failure is not None or phase is None:
            return  # too late
        asks = self._opened(phase)
        if party not in asks or party in self._rejected:
            return
        try:
            reply = frame.unwrap(data)
            check_header(reply, frame.REPLY, self.session, index)
            if self._is_repeated(party, reply):
                return
            self._check(party, reply, asks)
            self._machine.absorb(phase, party, self._decode(reply.body, phase))
        except (ProtocolError, WireError) as error:
            self.misbehaved[party] = f"phase {phase.name!r}: {error}"
            if party not in self._replies:
                self._rejected.add(party)
            return
        self._replies[party] = reply.checksum
        self.tallies[self._phase].received[party] += len(data)

    def _receive_prepared(self, party: PartyId, data: bytes) -> None:
        """As `receive`, before the first phase is open."""
        phase = self.scheme.phases[0]
        expected = self.scheme.slot(self.session.run, self.session.round, party, self._roster)
        try:
            reply = ahead.read(data, expected)
            if reply is None:
                return
            self._machine.absorb_prepared(party, self._decode(reply, phase))
        except (ProtocolError, WireError) as error:
            self.misbehaved[party] = f"phase {phase.name!r}, prepared: {error}"
            self.lost[party] = phase.name
            self._rejected.add(party)
            return
        self._replies[party] = frame.checksum_of(data)
        self.tallies[0].received[party] += len(data)

    def close_phase(self) -> None:
        """The deadline of the open phase: who has not answered is lost. After the last phase, `result` is set.

        Raises TooFew, or PeerMisbehaved naming the dealer of a mis-dealt secret; the round is over then.
        """
        phase = self._open_phase()
        if phase is None:
            raise LocalMisuse("close_phase after the last phase")
        asked = frozenset(self._opened(phase))
        answered = asked if phase.reply is None else frozenset(self._replies)
        for party in asked - answered:
            self.lost.setdefault(party, phase.name)
        if phase.role == "client":
            self._alive = answered
        for party, why in self._machine.accusations().items():
            self.accused.setdefault(party, f"phase {phase.name!r}: {why}")
        try:
            self.result = self._machine.close(phase, answered) or self.result
        except ProtocolError as error:
            self._failure = str(error)
            # The machine's frames have opened secrets among their local variables, and error reporters send those.
            raise error.with_traceback(None) from None
        self._phase += 1
        self._asks = None
        self._replies = {}
        self._rejected = set()

    def save(self) -> bytes:
        """All state between two calls, unencrypted: `secagg.Coordinator.save` encrypts it."""
        index = self.session.index
        names = [phase.name for phase in self.scheme.phases]
        return codec.encode(
            _Saved(
                fingerprint=self.scheme.fingerprint,
                session=self.session.to_bytes(),
                machine=b"" if self.phase is None else self._machine.save(),
                phase=self._phase,
                alive=tuple(sorted(map(index, self._alive))),
                asks=None
                if self._asks is None
                else (self._asks.bodies, tuple((index(p), i) for p, i in self._asks.body_of.items())),
                replies=tuple((index(p), digest) for p, digest in self._replies.items()),
                rejected=tuple(map(index, self._rejected)),
                lost=tuple((index(p), names.index(name)) for p, name in self.lost.items()),
                misbehaved=tuple((index(p), why) for p, why in self.misbehaved.items()),
                accused=tuple((index(p), why) for p, why in self.accused.items()),
                traffic=tuple(
                    (phase, index(p), size) for phase, t in enumerate(self.tallies) for p, size in t.received.items()
                )
                + tuple((phase, -1, t.sent) for phase, t in enumerate(self.tallies)),
                failure=self._failure,
                result=None if self.result is None else self.result.save(self.session),
            )
        )

    @classmethod
    def restore(cls, scheme: Scheme, data: bytes, roster: Roster | None = None) -> "RoundServer":
        """The server that `save` wrote. Raises StateError when it is not one of this scheme's."""
        try:
            saved = codec.decode(data, _Saved)
            check_fingerprint(saved.fingerprint, scheme)
            session = Session.from_bytes(saved.session)
        except (WireError, ConfigError) as error:
            raise StateError(f"not a saved server: {error}") from error
        try:
            server = cls(scheme, session, roster)
            server._load(saved)
        except (WireError, IndexError) as error:
            raise StateError(f"not a saved server: {error}") from error
        return server

    def _load(self, saved: _Saved) -> None:
        parties, phases = self.session.parties, self.scheme.phases
        self._phase = saved.phase
        self._failure = saved.failure
        if self._phase < len(phases):
            self._machine = self.scheme.server(self.session, saved.machine, roster=self._roster)
        self._alive = frozenset(parties[i] for i in saved.alive)
        if saved.asks is not None:
            bodies, body_of = saved.asks
            self._asks = Asks(self.session, saved.phase, bodies, {parties[i]: body for i, body in body_of})
        self._replies = {parties[i]: digest for i, digest in saved.replies}
        self._rejected = {parties[i] for i in saved.rejected}
        self.result = None if saved.result is None else Sum.load(saved.result, self.session)
        self.lost = {parties[i]: phases[phase].name for i, phase in saved.lost}
        self.misbehaved = {parties[i]: why for i, why in saved.misbehaved}
        self.accused = {parties[i]: why for i, why in saved.accused}
        for phase, i, size in saved.traffic:
            if i < 0:
                self.tallies[phase].sent = size
            else:
                self.tallies[phase].received[parties[i]] = size

    def _open_phase(self) -> Phase | None:
        if self._failure is not None:
            raise LocalMisuse(f"this round has ended: {self._failure}")
        return self.phase

    def _is_repeated(self, party: PartyId, reply: frame.Frame) -> bool:
        """Whether the reply came before, in this phase or for one that has closed: late is no fault."""
        return reply.phase < self._phase or self._replies.get(party) == reply.checksum

    def _check(self, party: PartyId, reply: frame.Frame, asks: Asks) -> None:
        """Raise for a frame that does not answer what this party was asked in the open phase."""
        if party in self._replies:
            raise PeerMisbehaved("a second, different reply; the first one counts")
        if reply.phase != self._phase:
            raise WireError(f"a reply to phase {reply.phase}, which has not begun")
        if reply.answers != asks.checksum(party):
            raise WireError("a reply to another ask than the one that was sent")

    def _decode(self, body: bytes, phase: Phase) -> codec.Message:
        if phase.reply is None:
            raise PeerMisbehaved("a reply to an announcement")
        return codec.decode(body, phase.reply)
