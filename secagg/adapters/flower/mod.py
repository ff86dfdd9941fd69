"""The client's end: a mod that answers the protocol and sends the user's update only into the secure sum."""

import logging
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from flwr.app import Context, Error, Message, MessageType
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.constant import ErrorCode

from secagg.adapters.flower import envelope, model, node, seen
from secagg.adapters.flower.memory import ContextMemory, NodeMemory, is_deployed
from secagg.adapters.flower.own_error import OwnError, as_own_error
from secagg.arguments import checked
from secagg.errors import ConfigError, InputError, PolicyRefused, SecaggError
from secagg.federation.choice import AllowedSchemes
from secagg.federation.client import Client, Limits, Trained, told
from secagg.federation.memory import Memory
from secagg.federation.update import Arrays
from secagg.primitives.entropy import Entropy
from secagg.scheme import Credentials, Policy, Scheme
from secagg.scheme.policy import USUAL

log = logging.getLogger("flwr.secagg")


class SecAggMod:
    """A mod for `ClientApp(mods=[...])`; `secagg_mod` is one with all defaults.

    It answers the train messages of a `SecureAggregation` strategy and calls the user's train function once a round,
    with the records that the wrapped strategy sent. Of the function's reply, the update (trained minus received
    arrays), the weight and the metrics that the server names go into the secure sum; nothing else leaves. A train
    message from another strategy is refused. Evaluate and query messages pass unchanged, and so do their replies,
    except those with an ArrayRecord, which are refused; lists in metrics and bytes in configuration pass.

    What the client refuses, by public words and numbers alone, goes to the server as an error reply, which counts as a
    loss. A result that cannot be summed counts in the sum as an update of zero, so that nobody learns whose it was; the
    client's log has the reason. Training that raises is a loss. Of whatever the user's functions raise the server is
    told the class alone, since the text may quote data.

    The node's own configuration narrows all that; `secagg.adapters.flower.node` has its keys.

    Args:
        policy: this client's limits.
        protocols: names in `PROTOCOLS` that the server may choose from.
        scheme: takes the place of `protocols` where the server was given a scheme object: an equal one.
        credentials: from this node's context to its identity and the roster, for schemes that are `authenticated`;
            parties are named by their node ids as text. With it, only such schemes are accepted, and a deployed node
            needs a journal, which no SuperLink can put back; a simulated one does not.
        weighted_by: with `credentials`, the metric of the train function's reply that is the weight.
        metrics: with `credentials`, {name: (least, largest) clip} of those of the reply that may be summed.
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
        weighted_by: str = "num-examples",
        metrics: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        schemes = AllowedSchemes(frozenset(protocols), scheme, credentials is not None, assumptions or {})
        own = USUAL if policy is None else policy
        self._limits = Limits(own, schemes, weighted_by=weighted_by, metrics=metrics or {})
        self._credentials = credentials
        self._entropy = entropy
        self._warned = False

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Answer a train message, or pass on any other."""
        try:
            if message.metadata.message_type.partition(".")[0] != MessageType.TRAIN:
                with as_own_error(code=ErrorCode.CLIENT_APP_RAISED_EXCEPTION):
                    reply = call_next(message, context)
                return _without_arrays(reply, message)
            limits, memory = partial(self._limits_of, context), self._memory(context)
            client = Client(str(context.node_id), limits, memory, self._entropy)
            with client.leaving():
                return _answered(client, message, context, call_next)
        except OwnError as error:
            return _raised_reply(error.cause, error.code, message)
        except SecaggError as error:
            return _refusal(error, message)
        except Exception as error:
            return _raised_reply(error, ErrorCode.MOD_FAILED_PRECONDITION, message)

    def _memory(self, context: Context) -> Memory:
        """The node's own journal if its configuration names one. Raises ConfigError where it has to."""
        path = context.node_config.get(node.STORE)
        if path is not None:
            if not Path(checked(f"node configuration {node.STORE}", path, str)).is_absolute():
                raise ConfigError(f"node configuration {node.STORE}: expected an absolute path")
            return NodeMemory(context, str(path))
        if self._credentials is not None and is_deployed(context):
            raise ConfigError(
                f"a client with credentials needs a journal of its own, which no server can put back: "
                f"flower-supernode --node-config '{node.STORE}=\"/var/lib/secagg/journal\"', in a folder that lasts"
            )
        if self._credentials is not None and not self._warned:
            self._warned = True
            log.warning("secure aggregation: a simulation, so this node's ledger is kept in memory for the run")
        return ContextMemory(context)

    def _limits_of(self, context: Context) -> Limits:
        with as_own_error():
            credentials = None if self._credentials is None else self._credentials(context)
        return node.narrowed(context, replace(self._limits, credentials=credentials))


def _answered(client: Client, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    ask, train = envelope.read_ask(message.content), None
    if client.begin(ask):
        content = envelope.users_part(message.content)
        received = model.numpy_arrays(model.only_arrays(content, "train message")[1], "train message")
        given, mine = seen.handed(message, context, content)
        client.check(seen.content_digest(given.metadata, mine.run_config, content), received)
        train = partial(_trained, client, received, partial(_called, call_next, given, mine, context))
    return Message(envelope.reply_record(client.answer(ask, train)), reply_to=message)


def _trained(client: Client, received: Arrays, call: Callable[[], Message]) -> Trained:
    """What the user's function, or a mod after this one, makes of the model."""
    with as_own_error(code=ErrorCode.CLIENT_APP_RAISED_EXCEPTION):
        reply = call()
        if reply.has_error():
            raise RuntimeError(f"training replied an error: {reply.error.reason}")
    arrays = model.numpy_arrays(model.only_arrays(reply.content, "reply", InputError)[1], "reply")
    values = model.metrics_of(reply.content) if client.sums_values else {}
    return Trained(received, arrays, values, values)


def _called(call_next: ClientAppCallable, given: Message, mine: Context, context: Context) -> Message:
    """The reply of the user's function, which may have put another state into the context that it was given."""
    try:
        return call_next(given, mine)
    finally:
        context.state = mine.state


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


secagg_mod = SecAggMod()
"""The mod with all defaults: `ClientApp(mods=[secagg_mod])`."""
