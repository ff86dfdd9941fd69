"""A party's end of a round: each ask answered once, the answer kept before it leaves."""

from collections.abc import Callable

from secagg.encoding.ring import Lanes
from secagg.errors import LocalMisuse, PartyId, PeerMisbehaved, ProtocolError, StateError, WireError
from secagg.scheme import Credentials, Ledger, PartySide, Phase, Policy, Scheme, Session, Sum
from secagg.scheme.machine import Entropy, SavedSum
from secagg.scheme.session import context_of
from secagg.wire import codec, frame


class _Saved(codec.Message, frozen=True):
    """A `RoundParty` between two calls."""

    fingerprint: bytes
    session: bytes
    me: int
    context: bytes
    policy: tuple[int, int, int]
    machine: bytes
    step: int
    last: tuple[int, bytes, bytes] | None
    failure: str | None
    result: SavedSum | None


class RoundParty:
    """Drives `scheme.party(session, me, entropy)`: asks in, replies out.

    Attributes:
        result: what this party learns, in protocols where parties learn something.
        step: how many asks it has answered; only grows. Kept outside as a latch, it tells an old state from the newest.
    """

    def __init__(
        self,
        scheme: Scheme,
        session: Session,
        me: PartyId,
        entropy: Entropy,
        policy: Policy,
        context: bytes | None = None,
        credentials: Credentials | None = None,
        ledger: Ledger | None = None,
        saved: bytes | None = None,
    ) -> None:
        policy.check_session(session)
        scheme.capacity(session)
        self.scheme = scheme
        self.session = session
        self.me = session.parties[session.index(me)]
        self.policy = policy
        self.context = session.context if context is None else context_of(context)
        self.result: Sum | None = None
        self.step = 0
        self._machine: PartySide = scheme.party(
            session,
            self.me,
            entropy,
            policy=policy,
            context=self.context,
            credentials=credentials,
            ledger=ledger,
            saved=saved,
        )
        self._last: tuple[int, bytes, bytes] | None = None  # phase, checksum of the ask, reply
        self._failure: str | None = None

    def phase_of(self, ask: bytes) -> Phase:
        """Which phase the ask belongs to. Raises WireError for bytes that are no ask of this session."""
        return self.scheme.phases[self._unwrap(ask).phase]

    def is_repeated(self, ask: bytes) -> bool:
        """Whether the reply to this very ask is already there, so that no input is needed again."""
        return self._last is not None and self._last[1] == self._unwrap(ask).checksum

    def answer(self, ask: bytes, vector: Lanes | None, store: Callable[[], object]) -> bytes | None:
        """The reply to `ask`; None to an announcement. `store` runs before the reply is returned.

        The same ask again gets the same bytes. Raises PeerMisbehaved (no culprits: the server) for another ask in
        the same phase or one out of order, WireError for bytes that are no ask, and what the scheme raises. After
        a refusal by the scheme this party answers nothing more in this round; a stray ask does not end it.
        """
        unwrapped = self._unwrap(ask)
        if self._failure is not None:
            raise LocalMisuse(f"this party has left the round: {self._failure}")
        if self._last is None or self._last[1] != unwrapped.checksum:
            self._check_order(unwrapped.phase)
            self._advance(unwrapped, vector)
        store()
        return None if self._last is None or not self._last[2] else self._last[2]

    def _advance(self, ask: frame.Frame, vector: Lanes | None) -> None:
        phase = self.scheme.phases[ask.phase]
        message = codec.decode(ask.body, phase.ask)
        if phase.takes_input and vector is None:
            raise LocalMisuse(f"phase {phase.name!r} takes this party's update and none was given")
        try:
            reply, result = self._machine.answer(message, vector if phase.takes_input else None)
        except ProtocolError as error:
            self._failure = str(error)
            raise
        self._last = (ask.phase, ask.checksum, b"" if reply is None else self._wrap(ask, reply))
        self.result = self.result or result
        self.step += 1

    def save(self) -> bytes:
        """All state, secrets included, unencrypted: `secagg.Participant.save` encrypts it."""
        return codec.encode(
            _Saved(
                fingerprint=self.scheme.fingerprint,
                session=self.session.to_bytes(),
                me=self.session.index(self.me),
                context=self.context,
                policy=(self.policy.min_cohort, self.policy.max_dim, self.policy.min_threshold),
                machine=self._machine.save(),
                step=self.step,
                last=self._last,
                failure=self._failure,
                result=None if self.result is None else self.result.save(self.session),
            )
        )

    @classmethod
    def restore(
        cls,
        scheme: Scheme,
        data: bytes,
        entropy: Entropy,
        latch: int,
        credentials: Credentials | None = None,
        ledger: Ledger | None = None,
    ) -> "RoundParty":
        """The party that `save` wrote; `latch` is the largest `step` it is known to have reached.

        Raises StateError for state of another scheme, or older than the latch: answering from it could send a
        second, different vector under the same masks, which would give away their difference.
        """
        try:
            saved = codec.decode(data, _Saved)
            if saved.fingerprint != scheme.fingerprint:
                raise StateError(f"state of another scheme or other options than {scheme.name} with {scheme.options}")
            if saved.step < latch:
                raise StateError(f"state at step {saved.step}, but this party is known to have reached step {latch}")
            session = Session.from_bytes(saved.session)
            party = cls(
                scheme,
                session,
                session.parties[saved.me],
                entropy,
                Policy(*saved.policy),
                saved.context,
                credentials,
                ledger,
                saved.machine,
            )
        except (WireError, IndexError) as error:
            raise StateError(f"not a saved party: {error}") from error
        party.step, party._last, party._failure = saved.step, saved.last, saved.failure
        party.result = None if saved.result is None else Sum.load(saved.result, session)
        return party

    def _check_order(self, phase: int) -> None:
        mine = [i for i, p in enumerate(self.scheme.phases) if p.role == "client" or i == phase]
        done = -1 if self._last is None else self._last[0]
        expected = next((i for i in mine if i > done), None)
        if phase == done:
            raise PeerMisbehaved(f"a second, different ask in phase {self.scheme.phases[phase].name!r}")
        if phase != expected:
            name = None if expected is None else self.scheme.phases[expected].name
            raise PeerMisbehaved(f"ask of phase {self.scheme.phases[phase].name!r}, expected {name!r}")

    @property
    def _tag(self) -> bytes:
        return self.session.digest[: frame.HALF_DIGEST]

    def _wrap(self, ask: frame.Frame, message: codec.Message) -> bytes:
        return frame.wrap(frame.REPLY, ask.phase, ask.party, self._tag, ask.checksum, codec.encode(message))

    def _unwrap(self, ask: bytes) -> frame.Frame:
        unwrapped = frame.unwrap(ask)
        if unwrapped.direction != frame.ASK:
            raise WireError("a reply where an ask was expected")
        if unwrapped.tag != self._tag:
            raise WireError("an ask of another session")
        if unwrapped.party != self.session.index(self.me):
            raise WireError("an ask meant for another party")
        if unwrapped.phase >= len(self.scheme.phases):
            raise WireError(f"an ask of phase {unwrapped.phase}: {self.scheme.name} has {len(self.scheme.phases)}")
        return unwrapped
