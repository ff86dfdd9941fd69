"""The server's end of one round: the protocol's phases as trips over Flower's grid."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from flwr.app import Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from secagg.adapters.flower import envelope
from secagg.errors import ConfigError, InputError
from secagg.federation.messages import Ask
from secagg.federation.round import Round


class SecureRound:
    """One round over the nodes that the wrapped strategy sampled, from its own train messages.

    Args:
        protocol: what is asked, and what has come of it.
        messages: {node id: the wrapped strategy's message}, all with the same content.
        grid: moves messages.

    Attributes:
        protocol: as given.
        met: whether the mod of any node has replied, be it an answer or an error of its own.
    """

    def __init__(self, protocol: Round, messages: Mapping[str, Message], grid: Grid) -> None:
        self.protocol = protocol
        self.met = False
        self._messages = messages
        self._grid = grid
        self._requested: list[str] = []

    def request(self) -> None:
        """Ask those who are left out to prepare the next round. Nobody waits for them: see `collect`."""
        asks = self.protocol.requests()
        if asks:
            messages = [self._message(node, ask) for node, ask in asks.items()]
            self._requested = [number for number in self._grid.push_messages(messages) if number]

    def collect(self) -> None:
        """The round is over: take what those who were left out have sent until now."""
        if self._requested:
            self._take(self._grid.pull_messages(self._requested))

    def asks(self) -> list[Message]:
        """The open phase's messages; with the strategy's own content where clients train."""
        trains = self.protocol.takes_input
        return [self._message(node, ask, trains) for node, ask in self.protocol.asks().items()]

    def _message(self, node: str, ask: Ask, trains: bool = False) -> Message:
        content, original = envelope.ask_record(ask), self._messages[node]
        return _in_place_of(original, RecordDict({**content, **original.content}) if trains else content)

    def absorb(self, replies: Iterable[Message]) -> None:
        """Take in one trip's replies and close its phase; whoever did not answer is lost. Raises TooFew."""
        self._take(replies)
        self.protocol.coordinator.close_phase()

    def _take(self, replies: Iterable[Message]) -> None:
        for message in replies:
            node = str(message.metadata.src_node_id)
            if message.has_error():
                self.met |= message.error.code == ErrorCode.MOD_FAILED_PRECONDITION
                self.protocol.warn(node, message.error.reason)
            else:
                self.met |= self.protocol.receive(node, partial(envelope.read_reply, message.content))

    def advance(self, timeout: float | None) -> None:
        """Run whole trips until clients are to train, or to the end; a phase in which nobody is asked takes none.

        Raises ProtocolError.
        """
        while not self.protocol.coordinator.done and not self.protocol.takes_input:
            asks = self.asks()
            self.absorb(self._grid.send_and_receive(asks, timeout=timeout) if asks else ())


def _in_place_of(original: Message, content: RecordDict) -> Message:
    meta = original.metadata
    return Message(content, meta.dst_node_id, meta.message_type, ttl=meta.ttl, group_id=meta.group_id)


def check_alike(messages: Sequence[Message]) -> None:
    """Raise ConfigError where nodes would train by different models or configurations, or a node stands twice."""
    first = messages[0]
    for message in messages[1:]:
        if message.content != first.content or _kind(message) != _kind(first):
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


def _kind(message: Message) -> tuple[Any, ...]:
    """What comparing the records leaves out: their order, and what of the metadata clients compare."""
    orders = [(name, list(record)) for name, record in message.content.items()]
    return message.metadata.message_type, message.metadata.group_id, orders
