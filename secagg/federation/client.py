"""A client's end of a training run, for the length of a message or of a process: what it enters, checks and reveals."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import Annotated, Any, Literal

from msgspec import Meta

from secagg.api import Participant, Prepared, prepare
from secagg.arguments import checked
from secagg.encoding.encoding import ABSTAIN, Abstention, Encoding
from secagg.encoding.layout import Update
from secagg.errors import (
    InconsistentModel,
    InputError,
    LocalMisuse,
    PolicyRefused,
    ProtocolError,
    SecaggError,
    StateError,
    WireError,
)
from secagg.federation.choice import AllowedSchemes
from secagg.federation.context import model_digest, session_context, terms_of
from secagg.federation.memory import Memory, SavedKeys, SavedRound
from secagg.federation.messages import PREPARE, Ahead, Ask, Invitation, Reply
from secagg.federation.metrics import ARRAYS, given_metrics
from secagg.federation.update import Arrays, fits, update_of, weight_of
from secagg.primitives.entropy import Entropy
from secagg.scheme import Credentials, Policy, Scheme, Seat, Session
from secagg.scheme.policy import DEFAULT
from secagg.wire import frame

KEY_BYTES = 32
Unusable = Literal["zero", "silent"]
Share = Annotated[float, Meta(ge=0, le=1)]
MetricClips = Annotated[Mapping[str, tuple[float, float]], Meta(title="a dict {name: a tuple of two clips}")]
log = logging.getLogger("secagg.federation")


@dataclass(frozen=True)
class Limits:
    """What one client takes part in, and who it is where the server may lie.

    Attributes:
        policy: fewest contributors, fewest shares, most entries.
        schemes: that the server may choose from.
        credentials: identity and roster. With them the server may lie: the client takes part in active rounds only,
            and what a sum tells of it is its own word: the range of its weights (`Policy.weights`), and these two.
        weighted_by: name of the value that is its weight.
        metrics: {name: (least, largest) clip} of those that may be summed.
        unusable: what becomes of an update that cannot be summed. "zero": it counts as zeros, of the client's weight,
            and is counted (`ABSTAIN`), so that nobody learns whose it was; a sum may be of fewer updates than
            `min_cohort` then. "silent": the client is lost, which the server sees.
        saturation: largest share, 0..1, of an update that may lie beyond the clip, where a server that may lie names it
            for a weighted sum; an update with more cannot be summed. All that is left beyond the clip is signs, and
            sums of signs times weights can be taken apart. The better limit is `Policy.clip`.
    """

    policy: Policy
    schemes: AllowedSchemes
    credentials: Credentials | None = None
    weighted_by: str | None = None
    metrics: MetricClips = field(default_factory=dict)
    unusable: Unusable = "zero"
    saturation: Share = 0.25

    def __post_init__(self) -> None:
        checked("unusable", self.unusable, Unusable)
        checked("saturation", self.saturation, Share)
        checked("metrics", self.metrics, MetricClips)

    def check(self, invitation: Invitation, session: Session, scheme: Scheme) -> None:
        """Raise PolicyRefused for what a server that may lie asks for and this client has not declared.

        Whose weight or metric is of the server's choice stands out in the sum; whose entries alone are above half a
        step, too; and a session of no run could be entered again and again.
        """
        if self.credentials is None:
            return
        if session.encoding.rounding == "nearest":
            raise PolicyRefused("rounding is 'nearest': what is below half a step would be left out of the sum")
        if 2 ** (session.encoding.bits - 1) - 1 < self.policy.levels:
            raise PolicyRefused(f"{session.encoding.bits} bits: fewer levels than this client asks for (Policy.levels)")
        if session.encoding.weights is not None:
            if self.policy.weights is None:
                raise PolicyRefused(
                    "a weighted sum, and this client does not declare its range of weights (Policy.weights): by sums "
                    "at many ranges of its own choice a lying server finds how heavy the clients are"
                )
            if invitation.weighted_by != self.weighted_by:
                raise PolicyRefused(f"weights by {invitation.weighted_by!r}: this client's have another name")
        for name, clip in invitation.metrics.items():
            least, most = self.metrics.get(name, (inf, inf))
            if not least <= clip <= most:
                raise PolicyRefused(f"metric {name!r} with clip {clip:g}: this client declares no such one")
        if scheme.prepares and not session.run:
            raise PolicyRefused("a session of no run: this client enters each round of a run once")


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
    """A client's part in one round; `compared` once `Client.check` has passed in this process.

    Its state is locked by one `key` from the first answer on, which a framework may keep apart from the state.
    """

    invitation: Invitation
    scheme: Scheme
    participant: Participant
    key: bytes
    compared: bool = False

    @property
    def encoding(self) -> Encoding:
        return self.participant.session.encoding

    @property
    def least(self) -> int:
        """What this client weighs at least, where nothing else is known."""
        weights = self.participant.seat.policy.weights
        return 1 if self.encoding.weights is None or weights is None else weights[0]

    def weight(self, trained: Trained) -> int:
        """What the update weighs, as it says. Raises BadWeight for nothing, too."""
        return 1 if self.encoding.weights is None else weight_of(trained.values, self.invitation.weighted_by)

    def update(self, trained: Trained, noise: Entropy) -> Update:
        """What is summed. Raises InputError."""
        metrics = given_metrics(trained.metrics, self.invitation.metrics, self.encoding.bits, noise)
        return {ARRAYS: update_of(trained.received, trained.arrays), **metrics}


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
            self._limits().policy.check_size(len(ask.terms) + len(ask.session))
            self._part = self._entered(Invitation.from_bytes(ask.terms), Session.from_bytes(ask.session))
        scheme, number = self._current().scheme, frame.unwrap(ask.frame).phase
        found = scheme.phases[number] if number < len(scheme.phases) else None
        if found is None or found.name != ask.phase:
            raise WireError(f"an ask of phase {ask.phase!r}, expected {found and found.name!r}, whose frame it has")
        return found.takes_input

    def check(self, received: bytes, arrays: Arrays) -> None:
        """Before any training: raise InconsistentModel unless the session is bound to what this client received.

        Args:
            received: digest of all that reaches the user's code (`digest_of`).
            arrays: that are trained.
        """
        part = self._current()
        # Clients that train by different models or configurations can be told apart in their sum: if all but one have
        # a learning rate of zero, it is that one's update. Masks cancel among those of one session alone, so each
        # client compares what it received with what its session names.
        context, session = session_context(received, part.invitation.to_bytes()), part.participant.session
        of_model = model_digest(arrays) == part.invitation.model
        if (
            context != session.context
            or not of_model
            or not fits(session.encoding.layout, arrays, part.invitation.metrics)
        ):
            raise InconsistentModel(
                "model, configuration, round or run differ from those that the session was opened for"
            )
        part.compared = True

    @property
    def sums_values(self) -> bool:
        """Whether this round sums anything beside arrays, and so needs `Trained.values` or `Trained.metrics`."""
        part = self._current()
        return part.encoding.weights is not None or bool(part.invitation.metrics)

    def trains(self, ask: Ask) -> bool:
        """Whether the answer to this ask, after `begin` and `check`, will use an update.

        For who trains elsewhere; what cannot be answered, or has been, is not to be trained for. Raises as `answer`.
        """
        with self.leaving():
            part = self._current()
            return part.participant.wants_update(ask.frame, partial(self._store, part))

    def answer(self, ask: Ask, train: Callable[[], Trained] | None = None) -> Reply:
        """The reply, stored before this returns; whoever refuses, or has answered the last phase, leaves the round.

        Args:
            train: where `begin` said so, after `check`. What it returns that cannot be summed is logged here, as are
                InputErrors, and becomes what `Limits.unusable` says. Whatever else it raises ends the round here: would
                it abstain, a server that makes it fail at all clients but one would have that one's update.
        """
        if ask.phase == PREPARE:
            return self._prepares(ask)
        with self.leaving():
            part = self._current()
            if train is not None and not part.compared:
                raise LocalMisuse("trained by what was not compared with the session: check comes first")
            if train is None:
                frame = part.participant.answer(ask.frame, store=partial(self._store, part))
            else:
                frame = self._trained(part, ask.frame, train)
        if ask.phase == part.scheme.phases[-1].name:
            self.leave()
        return Reply(ask.phase, frame, None if ask.ahead is None else self._prepare(part.scheme, ask.ahead))

    def _trained(self, part: _Part, frame: bytes, train: Callable[[], Trained]) -> bytes | None:
        store = partial(self._store, part)
        if not part.participant.wants_update(frame, store=store):
            return part.participant.answer(frame, store=store)
        weight = part.least
        try:
            trained = train()
            weight = part.weight(trained)
            update = self._checked(part.encoding, part.update(trained, self._entropy))
        except InputError as error:
            update = self._instead(error)
        except Exception:
            self.leave()  # an error of this library's classes too, if it is the user's
            raise
        return part.participant.answer(frame, update, weight, store)

    def _checked(self, encoding: Encoding, update: Update) -> Update:
        """The same. Raises InputError where it cannot be summed, or had better not be."""
        share, limits = encoding.saturation(update), self._limits()
        if limits.credentials is not None and encoding.weights is not None and share > limits.saturation:
            raise InputError(f"{share:.0%} of the update lie beyond the clip, expected {limits.saturation:.0%} or less")
        return update

    def _instead(self, error: Exception) -> Abstention:
        """What a party gives that has nothing to sum. Raises InputError where it falls silent."""
        unusable = self._limits().unusable
        log.warning("no update in this round's sum (%s): %s", unusable, error, exc_info=error)
        if unusable == "silent":
            self.leave()  # or it would train once more for the asking
            raise InputError("this client has no update in this round; its own log says why") from error
        return ABSTAIN

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Whoever refused once, or failed, reveals nothing more in this round."""
        try:
            yield
        except Exception as error:
            has_left = self._part is not None and self._part.participant.left is not None
            if has_left or isinstance(error, ProtocolError) or not isinstance(error, SecaggError):
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
        participant = Participant.restore(scheme, saved.state, saved.key, self._seat(limits, invitation))
        return _Part(invitation, scheme, participant, saved.key)

    def _entered(self, invitation: Invitation, session: Session) -> _Part:
        limits, prepared = self._limits(), self._taken()
        scheme = limits.schemes.made(invitation, len(session.parties))
        # The session's context, since `check` compares it with what came before anything is trained on it.
        limits.check(invitation, session, scheme)
        seat = self._seat(limits, invitation, session.context)
        if seat.policy.weights is None:
            # Outside the session's range a weight would be a refusal, and by many of those a server finds every weight.
            seat = replace(seat, policy=replace(seat.policy, weights=session.encoding.weights))
        fits = prepared is not None and prepared.fits(scheme, session, seat)
        participant = Participant(scheme, session, seat, prepared=prepared if fits else None)
        return _Part(invitation, scheme, participant, self._entropy(KEY_BYTES))

    def _seat(self, limits: Limits, invitation: Invitation | None = None, context: bytes | None = None) -> Seat:
        """What this client brings. No store in passive mode: a ledger is for servers that lie."""
        return Seat(
            self._me,
            _of_updates(limits.policy),
            context,
            self._entropy,
            limits.credentials,
            store=None if limits.credentials is None else self._memory.party_store(),
            model=None if invitation is None else invitation.model,
            terms=b"" if invitation is None else terms_of(invitation.weighted_by, invitation.metrics),
        )

    def _store(self, part: _Part, _: Participant) -> None:
        if self._memory.lasting:
            parties, state = len(part.participant.session.parties), part.participant.save(part.key)
            self._memory.store(SavedRound(part.key, part.invitation.to_bytes(), parties, state))

    def _prepares(self, ask: Ask) -> Reply:
        """This client is in no round now: it sends its keys for the next one."""
        if ask.terms is None or ask.ahead is None:
            raise WireError("a request to prepare a round that it does not name")
        self._limits().policy.check_size(len(ask.terms))
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


def _of_updates(policy: Policy) -> Policy:
    """A policy whose clips are named by array, for updates in which these stand beside other things."""
    if not isinstance(policy.clip, Mapping):
        return policy
    named = {name if name == DEFAULT else f"{ARRAYS}/{name}": clip for name, clip in policy.clip.items()}
    return replace(policy, clip=named)


def told(error: SecaggError) -> str:
    """What the server may know of an error: one about the user's own input may quote it, and its class tells, too."""
    if isinstance(error, InputError):
        return "InputError: this client has no update in this round; its own log says why"
    return f"{type(error).__name__}: {error}"
