"""The client's end: a mod that answers the protocol and sends the user's update only into the secure sum."""

import logging
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial

from flwr.app import Context, Error, Message, MessageType
from flwr.clientapp.client_app import LoadClientAppError
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.constant import ErrorCode

from secagg.adapters.flower import envelope, model
from secagg.adapters.flower.memory import ContextMemory
from secagg.arguments import checked
from secagg.errors import InputError, PolicyRefused, SecaggError
from secagg.federation.choice import AllowedSchemes
from secagg.federation.client import Client, Limits, Trained, told
from secagg.federation.update import Arrays
from secagg.primitives.entropy import Entropy
from secagg.scheme import Credentials, Policy, Scheme

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
        self._schemes = AllowedSchemes(frozenset(protocols), scheme, credentials is not None, assumptions or {})
        self._credentials = credentials
        self._entropy = entropy

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Answer a train message, or pass on any other."""
        try:
            if message.metadata.message_type.partition(".")[0] != MessageType.TRAIN:
                return _without_arrays(_called(call_next, message, context), message)
            me, memory = str(context.node_id), ContextMemory(context)
            client = Client(me, lambda: self._limits(context), memory, self._entropy)
            with client.leaving():
                return _answered(client, message, context, call_next)
        except SecaggError as error:
            return _refusal(error, message)
        except Exception as error:  # of the user's `credentials`, say: Flower would send its text
            return _raised_reply(error, ErrorCode.MOD_FAILED_PRECONDITION, message)

    def _limits(self, context: Context) -> Limits:
        cohort = _raised(context, MIN_COHORT, self._policy.min_cohort)
        threshold = _raised(context, MIN_THRESHOLD, self._policy.min_threshold)
        policy = replace(self._policy, min_cohort=cohort, min_threshold=threshold)
        return Limits(policy, self._schemes, None if self._credentials is None else self._credentials(context))


def _answered(client: Client, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    ask, train = envelope.read_ask(message.content), None
    if client.begin(ask):
        content = envelope.users_part(message.content)
        received = model.numpy_arrays(model.only_arrays(content, "train message")[1], "train message")
        client.check(model.context_of(context.run_id, message.metadata.message_type, content), received)
        message.content = content
        train = partial(_trained, client, received, message, context, call_next)
    return Message(envelope.reply_record(client.answer(ask, train)), reply_to=message)


def _trained(
    client: Client, received: Arrays, message: Message, context: Context, call_next: ClientAppCallable
) -> Trained:
    """What the user's function, or a mod after this one, makes of the model."""
    reply = call_next(message, context)
    if reply.has_error():
        raise InputError(f"training replied an error: {reply.error.reason}")
    arrays = model.numpy_arrays(model.only_arrays(reply.content, "reply", InputError)[1], "reply")
    values = model.metrics_of(reply.content) if client.sums_values else {}
    return Trained(received, arrays, values, values)


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
    return Message(Error(ErrorCode.MOD_FAILED_PRECONDITION, told(error)), reply_to=message)


def _raised_reply(error: Exception, code: int, message: Message) -> Message:
    """As Flower reports an exception, without its text, which may quote a patient's row: that stays in this log."""
    log.error("secure aggregation: an exception outside the protocol", exc_info=error)
    return Message(Error(code, f"{type(error).__name__}: this client's own log says why"), reply_to=message)


def _raised(context: Context, key: str, least: int) -> int:
    """The larger of `least` and the node's own setting. Raises OutOfRange for one that is no integer."""
    return max(checked(f"node configuration {key}", context.node_config.get(key, least), int), least)


secagg_mod = SecAggMod()
"""The mod with all defaults: `ClientApp(mods=[secagg_mod])`."""
