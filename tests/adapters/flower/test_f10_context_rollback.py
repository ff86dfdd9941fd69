"""A client's `Context.state` lives in its SuperNode, and a lying SuperLink puts it back by one answer without killing a
process. A SuperNode marks a task as failed when the SuperLink answers `confirm_message_received` by an error. Comes
that error after the ClientApp has pushed its reply and before it has pushed its context, then the reply leaves, and the
context is dropped: `push_task_output` keeps none of a task that is over. A client that kept all it knows there would
answer again from the state before: it signs two contributor sets in one session, of which active mode rests on there
being one (`test_two_survivor_sets` says what two are worth). With a journal of its own (`secagg-store` in the node's
configuration) it does not.

These are the SuperNode's own functions (flwr 1.41); the ClientApp's process is played call by call.
"""

import hashlib

import msgspec
import pytest
from federation import RUN, MemoryGrid, model_record, phase_of, through_the_wire
from flwr.app import Context, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.constant import SubStatus
from flwr.common.serde import context_from_proto, context_to_proto, message_from_proto, message_to_proto
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PullTaskInputRequest,
    PushAppMessagesRequest,
    PushTaskOutputRequest,
)
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode import start_client_internal
from flwr.supernode.nodestate.in_memory_nodestate import InMemoryNodeState
from flwr.supernode.servicer.runtime import runtime_handlers
from lying import Federation

from secagg import Participant, Seat, Store
from secagg.adapters.flower import SecAggMod, envelope
from secagg.federation.memory import SavedRound
from secagg.testing import opened, rewritten
from secagg.wire import frame
from secagg.wire.packed import pack_set
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import AskConsistency, Consistency

NODES = 6
FEDERATION = Federation(NODES)
VICTIM = FEDERATION.nodes[2]
FAB = hashlib.sha256(b"").hexdigest()
"""Hash of the app: no bytes of it are needed where its ClientApp is an object."""


class Lifted(Exception):
    """Ends a run from inside the grid, once the server has its asks."""


class Stopping(MemoryGrid):
    """Stops before "consistency": `held` has its messages."""

    def send_and_receive(self, messages, *, timeout=None):
        messages = list(messages)
        if phase_of(messages[0]) == "consistency":
            self.held = {message.metadata.dst_node_id: message for message in messages}
            raise Lifted
        return super().send_and_receive(messages, timeout=timeout)


class SuperNode:
    """The victim's: its state and object store, and its ClientApp.

    Args:
        grid: with the ClientApp, and the context's state as of the last answer.
    """

    def __init__(self, grid):
        self.store = ObjectStoreFactory().store()
        self.state = InMemoryNodeState(self.store)
        self.state.set_node_id(VICTIM)
        kind = {"fab_hash": FAB, "primary_task_type": TaskType.SERVER_APP}
        self.run = Run(**{**vars(Run.create_empty(RUN)), **kind})
        self.app = grid.apps[VICTIM]
        self.config = grid.config_of(VICTIM)
        context = Context(RUN, VICTIM, self.config, grid.states[VICTIM], {})
        self.state.store_run(self.run)
        self.state.store_fab(Fab(FAB, b"", {}))
        self.state.set_run_series_context(self.run.series_id, context_from_proto(context_to_proto(context)))

    def memory(self):
        """What the client knows of its round, as the SuperNode keeps it."""
        return dict(self.state.get_run_series_context(self.run.series_id).state["secagg"])

    def leaving(self):
        """How many replies the SuperLink takes now."""
        return len(self.state.get_messages_legacy(is_reply=True))

    def deliver(self, content, confirmed):
        """One message from the SuperLink, confirmed or not; the ClientApp's reply."""
        message = identified(content)
        bare = message_from_proto(message_to_proto(remove_content_from_message(message)))
        objects = {number: each.deflate() for number, each in get_all_nested_objects(message).items()}
        replies, unfinished = [], []

        def confirm(run_id, message_id):
            """The SuperLink takes its time: meanwhile the ClientApp works."""
            reply, finish = self.client_app(content)
            replies.append(reply)
            if confirmed:
                finish()
                return
            unfinished.append(finish)
            raise ConnectionError("503")

        start_client_internal._pull_and_store_message(
            self.state,
            self.store,
            self.config,
            lambda: (bare, get_object_tree(message)),
            lambda run_id: self.run,
            lambda fab_hash, run_id: Fab(FAB, b"", {}),
            lambda run_id, number: objects[number],
            confirm,
            None,
        )
        for finish in unfinished:
            finish()
        (reply,) = replies
        return reply

    def client_app(self, content):
        """Its process: (the reply, which has been pushed; what pushes the context and ends)."""
        state = self.state
        (task,) = [each for each in state.get_tasks() if each.status.status == "pending"]
        assert state.claim_task(task.task_id)
        given = runtime_handlers.pull_task_input(PullTaskInputRequest(), state, task)
        context = context_from_proto(given.context)
        pulled = runtime_handlers.pull_messages(PullAppMessagesRequest(), state, task)
        received = identified(content)
        received.metadata.__dict__["_message_id"] = pulled.messages_list[0].metadata.message_id
        reply = self.app(received, context)
        reply.metadata.__dict__["_message_id"] = reply.object_id
        bare = message_to_proto(remove_content_from_message(reply))
        request = PushAppMessagesRequest(messages_list=[bare], message_object_trees=[get_object_tree(reply)])
        pushed = runtime_handlers.push_messages(request, state, task)
        for number, each in get_all_nested_objects(reply).items():
            if number in pushed.objects_to_push:
                self.store.put(number, each.deflate())
        output = PushTaskOutputRequest(context=context_to_proto(context), sub_status=SubStatus.COMPLETED, details="")
        return reply, lambda: runtime_handlers.push_task_output(output, state, task)


def identified(content):
    """A message to the victim, named by its content as Flower does."""
    message = Message(through_the_wire(content), VICTIM, "train")
    message.metadata.__dict__["_message_id"] = message.object_id
    return message


def asked(message, contributors):
    """The honest ask with another set."""
    ask = envelope.read_ask(message.content)
    changed = type(ask)(ask.phase, rewritten(ask.frame, AskConsistency, contributors=contributors))
    return RecordDict({**message.content, **envelope.ask_record(changed)})


def check_signed(record, reply, contributors):
    """Raise unless the victim's identity has signed that set in that session.

    Args:
        record: what the client remembered of its round before it was asked.
    """
    credentials = FEDERATION.known[str(VICTIM)]
    seat = Seat(str(VICTIM), credentials=credentials, store=Store())
    state = msgspec.msgpack.decode(record["record"], type=SavedRound).state
    party = Participant.restore(PairwiseMasking(adversary="active"), state, record["key"], seat)._machine
    statement = party.round.agreement(party.stage.view, contributors)
    signature = opened(envelope.read_reply(reply.content).frame, Consistency).signature
    credentials.roster.verify(str(VICTIM), statement, signature)


@pytest.fixture(autouse=True)
def _no_app(monkeypatch):
    """The SuperNode reads no configuration out of an app."""
    monkeypatch.setattr(start_client_internal, "get_fused_config_from_fab", lambda content, run: {})


def held(stores=None):
    """A grid stopped at "consistency"."""
    grid = FEDERATION.grid(kind=Stopping, stores=stores)
    with pytest.raises(Lifted):
        FEDERATION.run(grid, model_record(), weight_max=400)
    return grid


def sets_for(message):
    """Everybody, and all but one that is not the victim; Flower samples in any order."""
    victim = frame.unwrap(envelope.read_ask(message.content).frame).party
    everybody = range(NODES)
    return pack_set(everybody, NODES), pack_set(set(everybody) - {(victim + 1) % NODES}, NODES)


def test_with_a_journal_an_unconfirmed_message_is_not_forgotten(tmp_path):
    grid = held(tmp_path)
    node, honest = SuperNode(grid), grid.held[VICTIM]
    everybody, fewer = sets_for(honest)
    before = node.memory()
    first = node.deliver(asked(honest, everybody), confirmed=False)
    assert not first.has_error()
    assert node.leaving() == 1
    assert node.memory() == before  # the SuperNode has forgotten the answer
    again = node.deliver(asked(honest, everybody), confirmed=True)
    assert again.content == first.content
    second = node.deliver(asked(honest, fewer), confirmed=True)
    assert second.error.reason.startswith("PeerMisbehaved: a second, different ask")


def test_a_second_set_comes_second_after_the_unconfirmed_one(tmp_path):
    grid = held(tmp_path)
    node, honest = SuperNode(grid), grid.held[VICTIM]
    everybody, fewer = sets_for(honest)
    assert not node.deliver(asked(honest, everybody), confirmed=False).has_error()
    second = node.deliver(asked(honest, fewer), confirmed=True)
    assert second.error.reason.startswith("PeerMisbehaved: a second, different ask")


def test_with_a_journal_a_node_that_has_lost_its_context_enters_no_round_again(tmp_path):
    grid = held(tmp_path)
    first = next(message for message in grid.sent if message.metadata.dst_node_id == VICTIM)
    grid.states[VICTIM] = RecordDict()
    assert grid.ask(VICTIM, grid.held[VICTIM]).error.reason.startswith("StateError: this client is in no round")
    assert grid.ask(VICTIM, first).error.reason.startswith("PolicyRefused: round 0 of a run in which this party has")


def test_neither_the_journal_nor_the_context_opens_the_round_alone(tmp_path):
    grid = held(tmp_path)
    assert set(grid.states[VICTIM]["secagg"]) == {"key"}
    assert len({grid.states[node]["secagg"]["key"] for node in grid.apps}) == NODES
    assert grid.states[VICTIM]["secagg"]["key"] not in (tmp_path / str(VICTIM)).read_bytes()


def test_without_one_an_unconfirmed_message_is_answered_and_forgotten_and_a_second_set_is_signed():
    grid = held()
    node, honest = SuperNode(grid), grid.held[VICTIM]
    everybody, fewer = sets_for(honest)
    before = node.memory()
    first = node.deliver(asked(honest, everybody), confirmed=False)
    assert not first.has_error()
    assert node.leaving() == 1
    assert node.memory() == before
    second = node.deliver(asked(honest, fewer), confirmed=True)
    assert not second.has_error()
    assert node.leaving() == 1
    assert node.memory() != before
    for reply, contributors in ((first, everybody), (second, fewer)):
        check_signed(grid.states[VICTIM]["secagg"], reply, contributors)


def test_a_deployed_node_with_credentials_and_without_a_journal_takes_no_part(monkeypatch):
    grid = held()
    monkeypatch.setattr(TaskIdentity, "_node_id", VICTIM)  # as in a process that a SuperNode has started
    reason = grid.ask(VICTIM, grid.held[VICTIM]).error.reason
    assert reason.startswith("ConfigError: a client with credentials needs a journal of its own")
    assert "--node-config 'secagg-store=" in reason


@pytest.mark.parametrize("path", ["journal", 7])
def test_a_journals_path_is_absolute(path):
    grid = held()
    grid.node_config["secagg-store"] = path
    assert grid.ask(VICTIM, grid.held[VICTIM]).error.reason.startswith("ConfigError: node configuration secagg-store")


def test_a_simulation_says_that_its_ledger_is_kept_in_memory(caplog):
    mod = SecAggMod(credentials=lambda context: FEDERATION.known[str(context.node_id)])
    FEDERATION.run(FEDERATION.grid(mod=mod), model_record(), weight_max=400)
    (said,) = [record for record in caplog.records if "kept in memory" in record.getMessage()]
    assert said.name == "flwr.secagg"
