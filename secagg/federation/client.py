"""A client's end of a training run, for the length of a message or of a process: what it enters, checks and reveals."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from secagg.api import Participant, Prepared, prepare
from secagg.encoding.layout import Update
from secagg.errors import (
    InconsistentModel,
    InputError,
    LocalMisuse,
    ProtocolError,
    SecaggError,
    StateError,
    WireError,
)
from secagg.federation.choice import AllowedSchemes
from secagg.federation.memory import Memory, SavedKeys, SavedRound
from secagg.federation.messages import PREPARE, Ahead, Ask, Invitation, Reply
from secagg.federation.update import Arrays, chosen, update_of, weight_of
from secagg.primitives.entropy import Entropy
from secagg.scheme import Credentials, Policy, Scheme, Seat, Session

KEY_BYTES = 32


@dataclass(frozen=True)
class Limits:
    """What one client takes part in, and who it is where the server may lie.

    Attributes:
        policy: fewest contributors, fewest shares, most entries.
        schemes: that the server may choose from.
        credentials: identity and roster; with them the client takes part in active rounds only.
    """

    policy: Policy
    schemes: AllowedSchemes
    credentials: Credentials | None = None


@dataclass(frozen=True, repr=False)
class Trained:
    """What came of training; of it, what the server named goes into the sum.

    Attributes:
        received, arrays: the model before and after.
        values: among which the weight is.
        metrics: of which some are summed.
    """

    received: Arrays
    arrays: Arrays
    values: Mapping[str, Any]
    metrics: Mapping[str, Any]


@dataclass(repr=False)
class _Part:
    """A client's part in one round; `compared` once `Client.check` has passed in this process."""

    invitation: Invitation
    scheme: Scheme
    participant: Participant
    compared: bool = False

    @property
    def weighted(self) -> bool:
        return self.participant.session.encoding.weight_max is not None

    def input_of(self, trained: Trained) -> tuple[Update, int]:
        """(update, weight). Raises InputError, saying what was expected."""
        weight = weight_of(trained.values, self.invitation.weighted_by) if self.weighted else 1
        metrics = chosen(trained.metrics, self.invitation.metrics)
        return update_of(trained.received, trained.arrays, metrics), weight


class Client:
    """One client: `begin`, `check` and train where `begin` says so, `answer`.

    Args:
        me: its id in sessions.
        limits: read whenever it enters a round, comes back to one, or prepares one.
        memory: what outlives a message.
        entropy: source of all secrets.
    """

    def __init__(self, me: str, limits: Callable[[], Limits], memory: Memory, entropy: Entropy) -> None:
        self._me = me
        self._limits = limits
        self._memory = memory
        self._entropy = entropy
        self._part: _Part | None = None
        self._prepared: Prepared | None = None

    def begin(self, ask: Ask) -> bool:
        """Enter the round that the ask belongs to, if this is the first of it; whether it is to be trained for.

        Raises ProtocolError, ConfigError, StateError or WireError where this client takes no part in it.
        """
        if ask.phase == PREPARE:
            return False
        if ask.terms is not None and ask.session is not None and not self._is_in(ask.session):
            self.leave()  # whatever comes of it, the last round is over
            self._part = self._entered(Invitation.from_bytes(ask.terms), Session.from_bytes(ask.session))
        scheme = self._current().scheme
        for phase in scheme.phases:
            if phase.name == ask.phase:
                return phase.takes_input
        raise WireError(f"an ask of phase {ask.phase!r}, which {scheme.name} does not have")

    def check(self, context: bytes) -> None:
        """Before any training: raise InconsistentModel unless `context` is the digest that the session is bound to.

        It is over all that reaches the user's code, as this client received it (`digest_of`).
        """
        part = self._current()
        # Clients that train by different models or configurations can be told apart in their sum: if all but one have
        # a learning rate of zero, it is that one's update. Masks cancel among those of one session alone, so each
        # client compares what it received with what its session names.
        if context != part.participant.session.context:
            raise InconsistentModel(
                "model, configuration, round or run differ from those that the session was opened for"
            )
        part.compared = True

    @property
    def sums_values(self) -> bool:
        """Whether this round sums anything beside arrays, and so needs `Trained.values` or `Trained.metrics`."""
        part = self._current()
        return part.weighted or bool(part.invitation.metrics)

    def answer(self, ask: Ask, trained: Trained | None = None) -> Reply:
        """The reply, stored before this returns; whoever refuses, or has answered the last phase, leaves the round.

        Args:
            trained: where `begin` said so, after `check`.
        """
        if ask.phase == PREPARE:
            return self._prepares(ask)
        with self.leaving():
            part = self._current()
            if trained is not None and not part.compared:
                raise LocalMisuse("trained by what was not compared with the session: check comes first")
            update, weight = (None, 1) if trained is None else part.input_of(trained)
            frame = part.participant.answer(ask.frame, update, weight, store=lambda _: self._store(part))
        if ask.phase == part.scheme.phases[-1].name:
            self.leave()
        return Reply(ask.phase, frame, None if ask.ahead is None else self._prepare(part.scheme, ask.ahead))

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Whoever refused once reveals nothing more in this round."""
        try:
            yield
        except ProtocolError:
            self.leave()
            raise

    def leave(self) -> None:
        """Forget the round, secrets included. The ledger stays, and so does what is prepared for another round."""
        self._part = None
        self._memory.forget(SavedRound)

    def end(self) -> None:
        """The run is over: forget all but the ledger."""
        self.leave()
        self._taken()

    def _is_in(self, session: bytes) -> bool:
        """Whether this client is in that round already: frameworks repeat a message whose reply they have not got."""
        try:
            return self._current().participant.session.to_bytes() == session
        except SecaggError:  # in none, or what it remembers opens no more
            return False

    def _current(self) -> _Part:
        if self._part is None:
            self._part = self._remembered()
        return self._part

    def _remembered(self) -> _Part:
        saved = self._memory.load(SavedRound)
        if saved is None:
            raise StateError("this client is in no round: it was asked for a later phase first, or has left the round")
        try:
            invitation = Invitation.from_bytes(saved.terms)
        except WireError as error:
            raise StateError(f"no memory of a round: {error}") from None
        limits = self._limits()
        scheme = limits.schemes.made(invitation, saved.parties)
        participant = Participant.restore(scheme, saved.state, saved.key, self._seat(limits))
        return _Part(invitation, scheme, participant)

    def _entered(self, invitation: Invitation, session: Session) -> _Part:
        limits, prepared = self._limits(), self._taken()
        scheme = limits.schemes.made(invitation, len(session.parties))
        # The session's context, since `check` compares it with what came before anything is trained on it.
        seat = self._seat(limits, session.context)
        fits = prepared is not None and prepared.fits(scheme, session, seat)
        return _Part(invitation, scheme, Participant(scheme, session, seat, prepared=prepared if fits else None))

    def _seat(self, limits: Limits, context: bytes | None = None) -> Seat:
        """What this client brings. No store in passive mode: a ledger is for servers that lie."""
        own = None if limits.credentials is None else self._memory.own()
        return Seat(self._me, limits.policy, context, self._entropy, limits.credentials, own)

    def _store(self, part: _Part) -> None:
        if self._memory.lasting:
            key, parties = self._entropy(KEY_BYTES), len(part.participant.session.parties)
            self._memory.store(SavedRound(key, part.invitation.to_bytes(), parties, part.participant.save(key)))

    def _prepares(self, ask: Ask) -> Reply:
        """This client is in no round now: it sends its keys for the next one."""
        if ask.terms is None or ask.ahead is None:
            raise WireError("a request to prepare a round that it does not name")
        scheme = self._limits().schemes.made(Invitation.from_bytes(ask.terms), ask.ahead.parties)
        return Reply(PREPARE, None, self._prepare(scheme, ask.ahead))

    def _prepare(self, scheme: Scheme, ahead: Ahead) -> bytes:
        """The message for the server; the secrets stay, in place of any before."""
        seat = self._seat(self._limits())
        self._prepared = prepare(scheme, seat, run=bytes.fromhex(ahead.run), round=ahead.round)
        if self._memory.lasting:
            key = self._entropy(KEY_BYTES)
            self._memory.store(SavedKeys(key, self._prepared.save(key)))
        return self._prepared.message

    def _taken(self) -> Prepared | None:
        """What was prepared and not used, gone from here: two rounds from one set of keys would open each other."""
        prepared, self._prepared = self._prepared, None
        try:
            saved = None if prepared is not None else self._memory.load(SavedKeys)
        finally:
            self._memory.forget(SavedKeys)
        return prepared if saved is None else Prepared.restore(saved.state, saved.key)


def told(error: SecaggError) -> str:
    """What the server may know of an error: those about the user's own input may quote it, so their class alone."""
    if isinstance(error, InputError):
        return f"{type(error).__name__}: this client's input cannot be summed; its own log says why"
    return f"{type(error).__name__}: {error}"
