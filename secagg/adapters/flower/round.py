"""The server's end of one round: the protocol's phases as trips over Flower's grid."""

import logging
from collections.abc import Iterable, Sequence

from flwr.app import ArrayRecord, Message, RecordDict
from flwr.serverapp import Grid

from secagg.adapters import choice
from secagg.adapters.flower import envelope, model
from secagg.adapters.flower.family import Opening
from secagg.adapters.update import Numbers, counters_of
from secagg.api import Aggregate, Coordinator
from secagg.errors import ConfigError, InputError, PartyId, WireError
from secagg.primitives.entropy import Entropy
from secagg.scheme import Roster, Scheme

log = logging.getLogger("flwr.secagg")


class SecureRound:
    """One round over the nodes that the wrapped strategy sampled, from its own train messages.

    Args:
        messages: of the wrapped strategy, one a node, all with the same content.
        scheme: for a cohort of this size.
        terms: what clients need to build it.
        numbers: how updates are summed.
        counters: names of arrays that held integers in earlier rounds; a mean of integers is a float.
        roster: of node ids as text, where the scheme is `authenticated`.
        opening: its number in the family, and what nodes prepared for it.
        entropy: source of the session's id.
        late: the strategy's messages to nodes that are left out of the round, and only asked to prepare the next one.

    Attributes:
        array_name: of the ArrayRecord in the messages.
        arrays: the model that they carry.
        counters: names of arrays that hold integers now or did so before.
        left_out: node ids of `late`.
        prepared: {node id: message} for the next round, as far as they have come.

    Raises ConfigError or InputError for messages that no secure sum can serve.
    """

    def __init__(
        self,
        messages: Sequence[Message],
        scheme: Scheme,
        terms: choice.Terms,
        numbers: Numbers,
        counters: frozenset[str],
        roster: Roster | None,
        opening: Opening,
        entropy: Entropy,
        late: Sequence[Message] = (),
    ) -> None:
        self._messages = {str(message.metadata.dst_node_id): message for message in messages}
        first = messages[0]
        _check_alike([*messages, *late])
        self.array_name, record = model.only_arrays(first.content, "the strategy's train message")
        self.arrays = model.numpy_arrays(record, "the strategy's train message")
        self.counters = counters | counters_of(self.arrays)
        self.left_out = frozenset(str(message.metadata.dst_node_id) for message in late)
        self.prepared: dict[PartyId, bytes] = {}
        ahead = scheme.prepares
        context = model.context_of(first.metadata.run_id, first.metadata.message_type, first.content)
        family, number = (opening.family, opening.number) if ahead else (b"", 0)
        session = numbers.session(
            self._messages, self.arrays, self.counters, context, entropy, family=family, round=number
        )
        self._coordinator = Coordinator(scheme, session, roster, opening.prepared if ahead else None)
        self._entry = terms, session.to_bytes()
        self._ahead = opening.ahead(len(messages)) if ahead else None
        self._late = [self._request(message) for message in late]
        self._phases = {phase.name: phase for phase in scheme.phases}
        self._last = scheme.phases[-1].name
        self._greeted: set[PartyId] = set()
        self._asked: frozenset[PartyId] = frozenset()

    @property
    def coordinator(self) -> Coordinator:
        """The protocol's state at the server."""
        return self._coordinator

    @property
    def takes_input(self) -> bool:
        """Whether the open phase is the one in which clients train."""
        phase = self._coordinator.phase
        return phase is not None and self._phases[phase].takes_input

    def asks(self) -> list[Message]:
        """The open phase's messages; with the strategy's own content where clients train."""
        phase = self._coordinator.phase
        assert phase is not None
        asks = self._coordinator.asks()
        self._asked = frozenset(asks)
        return [self._message(phase, party, frame) for party, frame in asks.items()]

    def _request(self, original: Message) -> Message:
        """To a node that is left out: prepare for the next round."""
        assert self._ahead is not None
        content, meta = envelope.prepare_record(self._entry[0], self._ahead), original.metadata
        return Message(content, meta.dst_node_id, meta.message_type, ttl=meta.ttl, group_id=meta.group_id)

    def _message(self, phase: str, party: PartyId, frame: bytes) -> Message:
        entry = None if party in self._greeted else self._entry
        self._greeted.add(party)
        ahead = self._ahead if phase == self._last else None
        content = envelope.ask_record(phase, frame, entry, ahead)
        original = self._messages[str(party)]
        if self._phases[phase].takes_input:
            content = RecordDict({**content, **original.content})
        meta = original.metadata
        return Message(content, meta.dst_node_id, meta.message_type, ttl=meta.ttl, group_id=meta.group_id)

    def absorb(self, replies: Iterable[Message]) -> None:
        """Take in one trip's replies and close its phase; whoever did not answer is lost. Raises TooFew."""
        for reply in replies:
            party = str(reply.metadata.src_node_id)
            if reply.has_error():
                log.warning("secure aggregation: node %s: %s", party, reply.error.reason)
            elif party in self._asked or party in self.left_out:
                self._receive(party, reply.content)
        self._coordinator.close_phase()

    def _receive(self, party: PartyId, content: RecordDict) -> None:
        try:
            reply = envelope.read_reply(content)
        except (WireError, ConfigError) as error:
            log.warning("secure aggregation: node %s: %s", party, error)
            return
        if reply.prepared is not None:
            self.prepared[party] = reply.prepared
        if reply.frame is not None and party in self._asked:
            self._coordinator.receive(party, reply.frame)

    def advance(self, grid: Grid, timeout: float | None) -> None:
        """Run whole trips until clients are to train, or to the end. Raises ProtocolError.

        A phase in which nobody is asked takes none; requests to prepare go along with the first that is taken.
        """
        while not self._coordinator.done and not self.takes_input:
            asks = self.asks()
            if asks:
                asks += self._late
                self._late = []
            self.absorb(grid.send_and_receive(asks, timeout=timeout) if asks else ())

    def result(self) -> Aggregate:
        """The aggregate after the last phase. Raises PeerMisbehaved, or ConfigError where the server learns none."""
        result = self._coordinator.result
        if result is None:
            raise ConfigError("this scheme gives the sum to the clients alone, and a strategy needs it at the server")
        return result

    def moved(self, result: Aggregate) -> ArrayRecord:
        """The model plus the mean update."""
        return model.applied(self.arrays, result.mean["arrays"])


def _check_alike(messages: Sequence[Message]) -> None:
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
