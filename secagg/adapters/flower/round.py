"""The server's end of one round: the protocol's phases as trips over Flower's grid."""

import logging
from collections.abc import Iterable, Mapping, Sequence

from flwr.app import ArrayRecord, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from secagg.adapters.flower import envelope, model
from secagg.adapters.round import Asked, Plan, Round
from secagg.adapters.run import Opening
from secagg.api import Aggregate
from secagg.errors import ConfigError, InputError, WireError

log = logging.getLogger("flwr.secagg")


class SecureRound:
    """One round over the nodes that the wrapped strategy sampled, from its own train messages.

    Args:
        plan: the run's.
        messages: {node id: the wrapped strategy's message}, all with the same content.
        late: those of nodes that are left out of the round, and only asked to prepare the next one.
        counters: names of arrays that held integers in earlier rounds.
        opening: its number in the run, and what nodes prepared for it.

    Attributes:
        protocol: what is asked, and what has come of it.
        array_name: of the ArrayRecord in the messages.
        met: whether the mod of any node has replied, be it an answer or an error of its own.

    Raises ConfigError or InputError for messages that no secure sum can serve.
    """

    def __init__(
        self,
        plan: Plan,
        messages: Mapping[str, Message],
        late: Mapping[str, Message],
        counters: frozenset[str],
        opening: Opening,
    ) -> None:
        self._messages = messages
        first = next(iter(messages.values()))
        self.array_name, record = model.only_arrays(first.content, "the strategy's train message")
        arrays = model.numpy_arrays(record, "the strategy's train message")
        context = model.context_of(first.metadata.run_id, first.metadata.message_type, first.content)
        self.protocol = Round(plan, messages, arrays, counters, context, opening, late)
        self._late = late
        self._requested: list[str] = []
        self.met = False

    def asks(self) -> list[Message]:
        """The open phase's messages; with the strategy's own content where clients train."""
        return [self._message(node, asked) for node, asked in self.protocol.opened().items()]

    def request(self, grid: Grid) -> None:
        """Ask those who are left out to prepare the next round. Nobody waits for them: see `collect`."""
        request = self.protocol.request()
        if self._late and request is not None:
            record = envelope.prepare_record(*request)
            messages = [_in_place_of(message, record) for message in self._late.values()]
            self._requested = [number for number in grid.push_messages(messages) if number]

    def collect(self, grid: Grid) -> None:
        """The round is over: take what those who were left out have sent until now."""
        if self._requested:
            self._take(grid.pull_messages(self._requested))

    def _message(self, node: str, asked: Asked) -> Message:
        content = envelope.ask_record(asked.phase, asked.frame, asked.entry, asked.ahead)
        original = self._messages[node]
        if self.protocol.takes_input:
            content = RecordDict({**content, **original.content})
        return _in_place_of(original, content)

    def absorb(self, replies: Iterable[Message]) -> None:
        """Take in one trip's replies and close its phase; whoever did not answer is lost. Raises TooFew."""
        self._take(replies)
        self.protocol.coordinator.close_phase()

    def _take(self, replies: Iterable[Message]) -> None:
        for message in replies:
            node = str(message.metadata.src_node_id)
            if message.has_error():
                self.met |= message.error.code == ErrorCode.MOD_FAILED_PRECONDITION
                log.warning("secure aggregation: node %s: %s", node, message.error.reason)
                continue
            try:
                reply = envelope.read_reply(message.content)
            except (WireError, ConfigError) as error:
                log.warning("secure aggregation: node %s: %s", node, error)
            else:
                self.met = True
                self.protocol.take(node, reply.frame, reply.prepared)

    def advance(self, grid: Grid, timeout: float | None) -> None:
        """Run whole trips until clients are to train, or to the end; a phase in which nobody is asked takes none.

        Raises ProtocolError.
        """
        while not self.protocol.coordinator.done and not self.protocol.takes_input:
            asks = self.asks()
            self.absorb(grid.send_and_receive(asks, timeout=timeout) if asks else ())

    def moved(self, result: Aggregate) -> ArrayRecord:
        """The model plus the mean update."""
        return model.applied(self.protocol.arrays, result.mean["arrays"])


def _in_place_of(original: Message, content: RecordDict) -> Message:
    meta = original.metadata
    return Message(content, meta.dst_node_id, meta.message_type, ttl=meta.ttl, group_id=meta.group_id)


def check_alike(messages: Sequence[Message]) -> None:
    """Raise ConfigError where nodes would train by different models or configurations, or a node stands twice."""
    first = messages[0]
    for message in messages[1:]:
        if message.content != first.content or message.metadata.message_type != first.metadata.message_type:
            raise ConfigError(
                f"the strategy sends node {message.metadata.dst_node_id} another content than node "
                f"{first.metadata.dst_node_id}: a secure sum needs one model and one configuration for all; "
                "put what differs into the nodes' own configuration"
            )
    nodes = [message.metadata.dst_node_id for message in messages]
    if len(set(nodes)) != len(nodes):
        raise ConfigError("the strategy sends two train messages to one node, expected one")
    if any(name in first.content for name in (envelope.HEADER, envelope.FRAMES)):
        raise InputError(f"the strategy's messages use the record names {envelope.HEADER!r} or {envelope.FRAMES!r}")
