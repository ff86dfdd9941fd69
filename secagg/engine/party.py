"""A party's end of a round: each ask answered once, the answer kept before it leaves."""

from collections.abc import Callable
from dataclasses import astuple, replace

from secagg.encoding.ring import Lanes
from secagg.engine.exchange import check_capacity, check_fingerprint, check_header, tag_of
from secagg.errors import (
    ConfigError,
    LocalMisuse,
    PartyId,
    PeerMisbehaved,
    PolicyRefused,
    ProtocolError,
    SecaggError,
    StateError,
    WireError,
)
from secagg.scheme import PartySide, Phase, Policy, Scheme, Seat, Session, Sum
from secagg.scheme.machine import SavedSum
from secagg.wire import codec, frame


class _Saved(codec.Message, frozen=True):
    """A `RoundParty` between two calls."""

    fingerprint: bytes
    session: bytes
    me: int
    context: bytes
    policy: tuple[int, int, int]
    machine: bytes
    prepared: bool
    keeps: bool
    step: int
    last: tuple[int, bytes, bytes] | None
    failure: str | None
    result: SavedSum | None


class RoundParty:
    """Drives `scheme.party(session, seat)`: asks in, replies out.

    Attributes:
        result: what this party learns, in protocols where parties learn something.
        step: how many asks it has answered; only grows. Kept outside as a latch, it tells an old state from the newest.

    Args:
        seat: whose end it is, and what that party brings.
        saved: state of the machine, as `save` of it returned; with `prepared`, as `Scheme.prepare` did: then the
            first ask may be the second phase's.
    """

    def __init__(
        self, scheme: Scheme, session: Session, seat: Seat, saved: bytes | None = None, *, prepared: bool = False
    ) -> None:
        clients = scheme.clients(session)
        seat.check_session(session, len(clients))
        check_capacity(scheme, session)
        self.scheme = scheme
        self.session = session
        self.seat = seat.at(session)
        self.result: Sum | None = None
        self.step = 0
        self._roles = {phase.role for phase in scheme.phases if self.me in clients or phase.role != "client"}
        self._machine: PartySide = scheme.party(session, self.seat, saved)
        self._prepared = prepared
        self._last: tuple[int, bytes, bytes] | None = None  # phase, checksum of the ask, reply
        self._failure: str | None = None

    @property
    def me(self) -> PartyId:
        """This party's id."""
        return self.seat.party

    def answer(self, ask: bytes, encoded: Callable[[], Lanes], store: Callable[[], object]) -> bytes | None:
        """The reply to `ask`; None to an announcement. `store`, then the seat's own, run before the reply is returned.

        `encoded` gives this party's vector; it is called in the phase that takes input, once the ask is known to be
        in order. The same ask again gets the same bytes. Raises PeerMisbehaved (no culprits: the server) for another
        ask in the same phase or one out of order, WireError for bytes that are no ask, and what the scheme raises.
        After a refusal by the scheme this party answers nothing more in this round; a stray ask does not end it.
        """
        found = frame.unwrap(ask)
        check_header(found, frame.ASK, self.session, self.session.index(self.me))
        if self._failure is not None:
            raise LocalMisuse(f"this party has left the round: {self._failure}")
        if self._last is None or self._last[1] != found.checksum:
            self._advance(found, self._next_phase(found.phase), encoded, store)
        self._keep(store)
        return None if self._last is None or not self._last[2] else self._last[2]

    def _advance(
        self, ask: frame.Frame, phase: Phase, encoded: Callable[[], Lanes], store: Callable[[], object]
    ) -> None:
        message = codec.decode(ask.body, phase.ask)
        vector = encoded() if phase.takes_input else None
        try:
            if self._last is None:
                self.seat.enter(self.session)
            reply, result = self._machine.answer(message, vector)
        except SecaggError as error:
            # Error reporters send the local variables of a traceback's frames, and those of the machine hold secrets.
            vector, error.__traceback__ = None, None
            if isinstance(error, ProtocolError):
                self._failure = str(error)
                self._keep(store)  # a refusal is final after a restart too
            raise error from None
        self._last = (ask.phase, ask.checksum, b"" if reply is None else self._wrap(ask, reply))
        self.result = self.result or result
        self.step += 1

    def _keep(self, store: Callable[[], object]) -> None:
        """What this party has come to is kept before anybody hears of it."""
        store()
        if self.seat.store is not None:
            self.seat.store.flush()

    def save(self) -> bytes:
        """All state, secrets included, unencrypted: `secagg.Participant.save` encrypts it.

        Of a party that has left the round no secret is saved: it answers nothing more.
        """
        return codec.encode(
            _Saved(
                fingerprint=self.scheme.fingerprint,
                session=self.session.to_bytes(),
                me=self.session.index(self.me),
                context=self.seat.context or b"",
                policy=astuple(self.seat.policy),
                machine=b"" if self._failure is not None else self._machine.save(),
                prepared=self._prepared,
                keeps=self.seat.store is not None,
                step=self.step,
                last=self._last,
                failure=self._failure,
                result=None if self.result is None else self.result.save(self.session),
            )
        )

    @classmethod
    def restore(cls, scheme: Scheme, data: bytes, seat: Seat, latch: int = 0) -> "RoundParty":
        """The party that `save` wrote; `latch` is the largest `step` it is known to have reached.

        `seat` brings what state does not hold: entropy, credentials, store. Its policy may only be stricter than the
        saved one. Raises StateError for state of another scheme, party or context, or older than the latch: answering
        from it could send a second, different vector under the same masks, which would give away their difference.
        """
        try:
            saved = codec.decode(data, _Saved)
            check_fingerprint(saved.fingerprint, scheme)
            session, policy = Session.from_bytes(saved.session), Policy(*saved.policy)
            seat = replace(seat, policy=policy.strictest(seat.policy), context=_as_saved(saved, session, seat, latch))
            seat.policy.check_session(session, len(scheme.clients(session)))
        except (WireError, IndexError, ConfigError, PolicyRefused) as error:
            raise StateError(f"not a saved party: {error}") from error
        machine = None if saved.failure is not None else saved.machine
        try:
            party = cls(scheme, session, seat, machine, prepared=saved.prepared)
        except WireError as error:
            raise StateError(f"not a saved party: {error}") from error
        party.step, party._last, party._failure = saved.step, saved.last, saved.failure
        party.result = None if saved.result is None else Sum.load(saved.result, session)
        return party

    def _next_phase(self, index: int) -> Phase:
        """Phase `index`, if it is this party's turn to answer it."""
        phases = self.scheme.phases
        if index >= len(phases):
            raise WireError(f"an ask of phase {index}: {self.scheme.name} has {len(phases)}")
        done = -1 if self._last is None else self._last[0]
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
        tag = tag_of(self.session)
        return frame.wrap(frame.REPLY, ask.phase, ask.party, tag, ask.checksum, codec.encode(message))


def _as_saved(saved: _Saved, session: Session, seat: Seat, latch: int) -> bytes:
    """The context under which state was saved. Raises StateError unless it is this seat's state, and not an old one."""
    if session.parties[saved.me] != seat.party:
        raise StateError(f"state of party {session.parties[saved.me]!r}, expected that of {seat.party!r}")
    if saved.keeps and seat.store is None:
        raise StateError("this party keeps a ledger of what it has helped to open: restore it with its store")
    if seat.context not in (None, saved.context):
        raise StateError("state of a round that this party knows under another context")
    if saved.step < latch:
        raise StateError(f"state at step {saved.step}, but this party is known to have reached step {latch}")
    return saved.context
