"""The client's end: a mod that answers the protocol and sends the user's update only into the secure sum."""

import logging
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from flwr.app import Context, Error, Message, MessageType, RecordDict
from flwr.clientapp.client_app import LoadClientAppError
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.constant import ErrorCode

from secagg.adapters.choice import Consent
from secagg.adapters.flower import envelope, model
from secagg.adapters.flower.memory import Memory, Writer
from secagg.adapters.run import PREPARE, Ahead
from secagg.adapters.update import Arrays, chosen, update_of, weight_of
from secagg.api import Participant
from secagg.encoding.layout import Update
from secagg.errors import (
    InconsistentModel,
    InputError,
    OutOfRange,
    PolicyRefused,
    ProtocolError,
    SecaggError,
    WireError,
)
from secagg.primitives.entropy import Entropy
from secagg.scheme import Credentials, Ledger, Policy, Scheme, Seat, Session, Store

log = logging.getLogger("flwr.secagg")

MIN_COHORT, MIN_THRESHOLD = "secagg-min-cohort", "secagg-min-threshold"
"""Keys of a node's own configuration (`flower-supernode --node-config`); they only raise what the mod asks for."""


class SecAggMod:
    """A mod for `ClientApp(mods=[...])`; `secagg_mod` is one with all defaults.

    It answers the train messages of a `SecureAggregation` strategy and calls the user's train function once a round,
    with the records that the wrapped strategy sent. Of the function's reply, the update (trained minus received
    arrays), the weight and the metrics that the server names go into the secure sum; nothing else leaves. A train
    message from another strategy is refused. Evaluate and query messages pass unchanged, and so do their replies,
    except those with an ArrayRecord, which are refused; lists in metrics and bytes in configuration pass.

    What the client refuses, and every error, goes to the server as an error reply, which counts as a loss. Of an error
    about the user's own update or weight, and of whatever the user's functions raise, the server is told the class
    alone, since the text may quote data; the client's log has the whole of it.

    Args:
        policy: this client's limits; `MIN_COHORT` and `MIN_THRESHOLD` in a node's configuration can raise two of them.
        protocols: names in `PROTOCOLS` that the server may choose from.
        scheme: takes the place of `protocols` where the server was given a scheme object: an equal one.
        credentials: from this node's context to its identity and the roster, for schemes that are `authenticated`;
            parties are named by their node ids as text. With it, only such schemes are accepted.
        assumptions: with `credentials`, the least rate of corrupt clients ("corrupt") and bits of security ("sigma")
            that the server's options may assume; 0.05 and 40 where not given.
        entropy: source of all secrets.

    Raises ConfigError for a protocol that is not in `PROTOCOLS`, or an assumption that has another name.
    """

    def __init__(
        self,
        policy: Policy | None = None,
        protocols: Collection[str] = ("secagg", "secagg+"),
        scheme: Scheme | None = None,
        credentials: Callable[[Context], Credentials] | None = None,
        entropy: Entropy = os.urandom,
        assumptions: Mapping[str, float] | None = None,
    ) -> None:
        self._policy = policy or Policy()
        self._consent = Consent(frozenset(protocols), scheme, credentials is not None, assumptions or {})
        self._credentials = credentials
        self._entropy = entropy

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Answer a train message, or pass on any other."""
        try:
            if message.metadata.message_type.partition(".")[0] != MessageType.TRAIN:
                return _without_arrays(_called(call_next, message, context), message)
            return self._answered(message, context, call_next)
        except SecaggError as error:
            if isinstance(error, ProtocolError):  # whoever refused once reveals nothing more in this round
                Memory(context, self._entropy).forget()
            return _refusal(error, message)
        except Exception as error:  # of the user's `credentials`, say: Flower would send its text
            return _raised_reply(error, ErrorCode.MOD_FAILED_PRECONDITION, message)

    def _answered(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        ask = envelope.read_ask(message.content)
        if ask.phase == PREPARE:
            return self._prepares(ask, message, context)
        part = self._entered(ask, context) if ask.terms is not None else self._resumed(context)
        phase = next((phase for phase in part.scheme.phases if phase.name == ask.phase), None)
        if phase is None:
            raise WireError(f"an ask of phase {ask.phase!r}, which {part.scheme.name} does not have")
        update: Update = None
        weight = 1
        if phase.takes_input:
            content = part.checked(message, context)
            received = model.numpy_arrays(model.only_arrays(content, "train message")[1], "train message")
            message.content = content
            reply = _called(call_next, message, context)
            if reply.has_error():
                return reply
            update, weight = part.input_of(received, reply.content)
        data = part.participant.answer(ask.frame, update, weight, store=part.writer.store)
        if phase is part.scheme.phases[-1]:
            Memory(context, self._entropy).forget()
        ahead = None if ask.ahead is None else self._prepared(part.scheme, ask.ahead, context)
        return Message(envelope.reply_record(phase.name, data, ahead), reply_to=message)

    def _prepares(self, ask: envelope.Ask, message: Message, context: Context) -> Message:
        """This client is in no round now: it sends its keys for the next one."""
        assert ask.terms is not None
        assert ask.ahead is not None
        scheme = self._consent.made(ask.terms, ask.ahead.parties)
        return Message(
            envelope.reply_record(ask.phase, None, self._prepared(scheme, ask.ahead, context)), reply_to=message
        )

    def _prepared(self, scheme: Scheme, ahead: Ahead, context: Context) -> bytes:
        """The message for the server; the secrets are in `Context.state`."""
        memory = Memory(context, self._entropy)
        credentials, _ = self._identity(context, memory)
        prepared = ahead.prepared(scheme, str(context.node_id), self._entropy, credentials)
        memory.keep(prepared)
        return prepared.message

    def _entered(self, ask: envelope.Ask, context: Context) -> "_Part":
        """A new round, if this client takes part in one like it."""
        assert ask.terms is not None
        assert ask.session is not None
        session = Session.from_bytes(ask.session)
        scheme = self._consent.made(ask.terms, len(session.parties))
        memory = Memory(context, self._entropy)
        credentials, ledger = self._identity(context, memory)
        prepared = memory.prepared()
        seat = Seat(
            str(context.node_id),
            policy=self._policy_at(context),
            context=session.context,  # compared with what came, before anything is trained on it: `_Part.checked`
            entropy=self._entropy,
            credentials=credentials,
            store=None if ledger is None else Store(ledger),
        )
        fits = prepared is not None and prepared.fits(scheme, session, seat)
        participant = Participant(scheme, session, seat, prepared=prepared if fits else None)
        return _Part(scheme, participant, memory.begin(ask.terms, ledger))

    def _resumed(self, context: Context) -> "_Part":
        """The round that this client is in."""
        memory = Memory(context, self._entropy)
        credentials, ledger = self._identity(context, memory)
        remembered, writer = memory.resume(ledger)
        scheme = self._consent.made(remembered.terms, remembered.parties)
        seat = Seat(
            str(context.node_id),
            entropy=self._entropy,
            credentials=credentials,
            store=None if ledger is None else Store(ledger),
        )
        participant = Participant.restore(scheme, remembered.state, remembered.key, seat)
        return _Part(scheme, participant, writer)

    def _policy_at(self, context: Context) -> Policy:
        cohort = _raised(context, MIN_COHORT, self._policy.min_cohort)
        threshold = _raised(context, MIN_THRESHOLD, self._policy.min_threshold)
        return replace(self._policy, min_cohort=cohort, min_threshold=threshold)

    def _identity(self, context: Context, memory: Memory) -> tuple[Credentials | None, Ledger | None]:
        """Where the server may lie: who this client is, and what it has helped to open in this run."""
        return (None, None) if self._credentials is None else (self._credentials(context), memory.ledger())


@dataclass(frozen=True, repr=False)
class _Part:
    """One client's part in one round, for the length of one message."""

    scheme: Scheme
    participant: Participant
    writer: Writer

    def checked(self, message: Message, context: Context) -> RecordDict:
        """The user's records in the message. Raises InconsistentModel where the session is about others."""
        content = envelope.users_part(message.content)
        digest = model.context_of(context.run_id, message.metadata.message_type, content)
        if digest != self.participant.session.context:
            raise InconsistentModel(
                "model, configuration, run or message type differ from those that the session was opened for"
            )
        return content

    def input_of(self, received: Arrays, reply: RecordDict) -> tuple[Update, int]:
        """(update, weight) of the user's reply. Raises InputError, saying what was expected."""
        terms = self.writer.terms
        trained = model.numpy_arrays(model.only_arrays(reply, "reply", InputError)[1], "reply")
        weighted = self.participant.session.weight_max is not None
        metrics = model.metrics_of(reply) if weighted or terms.metrics else None
        weight = weight_of(metrics, terms.weighted_by) if weighted and metrics is not None else 1
        summed = {} if metrics is None else chosen(metrics, terms.metrics)
        return update_of(received, trained, summed), weight


def _called(call_next: ClientAppCallable, message: Message, context: Context) -> Message:
    """What the user's function, or a mod after this one, replies; an error reply where it raises."""
    try:
        return call_next(message, context)
    except Exception as error:  # a SecaggError of the user's own is no refusal of ours
        loading = isinstance(error, LoadClientAppError)
        code = ErrorCode.LOAD_CLIENT_APP_EXCEPTION if loading else ErrorCode.CLIENT_APP_RAISED_EXCEPTION
        return _raised_reply(error, code, message)


def _without_arrays(reply: Message, message: Message) -> Message:
    """The reply to an evaluate or query message; a refusal where it has an ArrayRecord.

    Other records pass, with lists in metrics and bytes in configuration. The client stays in its secure round.
    """
    if not reply.has_content() or not reply.content.array_records:
        return reply
    why = (
        f"a reply to {message.metadata.message_type!r} with {len(reply.content.array_records)} ArrayRecords, "
        "expected none: arrays of this client leave it inside a secure sum only"
    )
    return _refusal(PolicyRefused(why), message)


def _refusal(error: SecaggError, message: Message) -> Message:
    log.warning("secure aggregation: %s: %s", type(error).__name__, error)
    return Message(Error(ErrorCode.MOD_FAILED_PRECONDITION, _for_the_server(error)), reply_to=message)


def _raised_reply(error: Exception, code: int, message: Message) -> Message:
    """As Flower reports an exception, without its text, which may quote a patient's row: that stays in this log."""
    log.error("secure aggregation: an exception outside the protocol", exc_info=error)
    return Message(Error(code, f"{type(error).__name__}: this client's own log says why"), reply_to=message)


def _raised(context: Context, key: str, least: int) -> int:
    """The larger of `least` and the node's own setting. Raises OutOfRange for one that is no integer."""
    value = context.node_config.get(key, least)
    if isinstance(value, bool) or not isinstance(value, int):
        raise OutOfRange(f"node configuration {key}: {value!r}, expected an integer")
    return max(value, least)


def _for_the_server(error: SecaggError) -> str:
    """What an error reply says: errors about the user's own input may quote it, so only their class is told."""
    if isinstance(error, InputError):
        return f"{type(error).__name__}: this client's input cannot be summed; its own log says why"
    return f"{type(error).__name__}: {error}"


secagg_mod = SecAggMod()
"""The mod with all defaults: `ClientApp(mods=[secagg_mod])`."""
