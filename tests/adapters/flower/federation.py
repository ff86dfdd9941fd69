"""A Flower federation in one process: real apps, records and contexts; a grid that can lose nodes at any trip."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from uuid import uuid4

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.config import get_project_dir
from flwr.common.serde import context_from_proto, context_to_proto, recorddict_from_proto, recorddict_to_proto
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from secagg.adapters.flower import envelope, secagg_mod

RUN = 7
WEIGHTS = {"secagg-weights": "10,400"}
"""A node's configuration, as active mode wants it: its declared range, within that of `beside_plain.secure`."""
SERVER = 1


def identify() -> None:
    """Be a ServerApp's process, as far as messages go."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = RUN, SERVER, 1


def through_the_wire(records: RecordDict) -> RecordDict:
    return recorddict_from_proto(recorddict_to_proto(records))


class MemoryGrid(Grid):
    """Delivers every message to its node's ClientApp, through Flower's own serialization.

    Args:
        apps: {node id: its ClientApp}.
        lose: (node id, phase) to what goes wrong there: "silent", "error", "raises", or None for nothing.
        node_config: of all nodes, beside the part of the data that is each one's, as in Flower's simulation.
        run_config: of the run.
        stores: folder of the nodes' own journals, of which each node's configuration names one; None for none.
    """

    def __init__(
        self,
        apps: dict[int, ClientApp],
        lose: Callable[[int, str], str | None] = lambda node, phase: None,
        node_config: dict | None = None,
        run_config: dict | None = None,
        stores: Path | None = None,
    ) -> None:
        self.apps = apps
        self.lose = lose
        self.states = {node: RecordDict() for node in apps}
        self.node_config = node_config or {}
        self.run_config = run_config or {}
        self.stores = stores
        self.trips: list[tuple[str, int]] = []
        self.sent: list[Message] = []
        self.replies: list[Message] = []
        self.pushed: list[Message] = []
        identify()

    def get_node_ids(self) -> list[int]:
        return list(self.apps)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        messages = list(messages)
        if messages:
            self.trips.append((phase_of(messages[0]), len(messages)))
        self.sent += messages
        replies = [self._deliver(message) for message in messages]
        self.replies += [reply for reply in replies if reply is not None]
        return [reply for reply in replies if reply is not None]

    def _deliver(self, message: Message) -> Message | None:
        node = message.metadata.dst_node_id
        fate = self.lose(node, phase_of(message))
        if fate == "error":
            return Message(Error(5, "node unavailable"), reply_to=message)
        if fate == "silent":
            return None
        return self.ask(node, message)

    def ask(self, node: int, message: Message) -> Message:
        """As a fresh process of the node's ClientApp would answer it."""
        meta = message.metadata
        received = Message(through_the_wire(message.content), node, meta.message_type, group_id=meta.group_id)
        received.metadata.__dict__["_message_id"] = "m"
        context = Context(RUN, node, self.config_of(node), self.states[node], self.run_config)
        context = context_from_proto(context_to_proto(context))
        try:
            reply = self.apps[node](received, context)
        except Exception as error:
            return Message(Error(2, f"{type(error)}:<'{error}'>"), reply_to=message)
        self.states[node] = context_from_proto(context_to_proto(context)).state
        if reply.has_content():
            return Message(through_the_wire(reply.content), reply_to=message)
        return reply

    def config_of(self, node: int) -> dict:
        """What this node's operator has configured."""
        own = {} if self.stores is None else {"secagg-store": str(self.stores / str(node))}
        part = {"partition-id": list(self.apps).index(node), "num-partitions": len(self.apps)}
        return {**self.node_config, **part, **own}

    def set_run(self, run):
        raise NotImplementedError

    @property
    def run(self) -> Run:
        """That of an app whose own configuration is `run_config`, installed where Flower looks for it."""
        if not self.run_config:
            return Run.create_empty(RUN)
        how = {"fab_id": "tests/app", "fab_version": "1", "fab_hash": uuid4().hex}
        folder = get_project_dir(**how)
        folder.mkdir(parents=True)
        lines = [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in self.run_config.items()]
        components = '[tool.flwr.app.components]\nserverapp = "a:b"\nclientapp = "a:b"\n'
        named = '[project]\nname = "app"\nversion = "1"\nlicense = "Apache-2.0"\n[tool.flwr.app]\npublisher = "tests"\n'
        text = f"{named}{components}[tool.flwr.app.config]\n" + "\n".join(lines)
        (folder / "pyproject.toml").write_text(text, "utf-8")
        return Run(**{**vars(Run.create_empty(RUN)), **how})

    def create_message(self, *args, **kwargs):
        raise NotImplementedError

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Nobody waits for the replies, so this is no trip."""
        self.pushed += messages
        return [str(at) for at, _ in enumerate(self.pushed)][-len(messages) :]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """What has been replied: the nodes have answered meanwhile."""
        replies = [self._deliver(self.pushed[int(at)]) for at in message_ids]
        return [reply for reply in replies if reply is not None]


def phase_of(message: Message) -> str:
    if envelope.HEADER in message.content.config_records:
        return str(message.content[envelope.HEADER]["phase"])
    return message.metadata.message_type


MODEL = {"weights": np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3), "bias": np.zeros(3)}


def model_record(arrays=MODEL) -> ArrayRecord:
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})


def examples_of(node: int) -> int:
    return 20 + 7 * (node % 50)


def step_of(node: int, server_round: int, shape: tuple[int, ...]) -> np.ndarray:
    """What this node adds to an array in this round; within a clip of 0.5."""
    return np.random.default_rng([node % 2**32, server_round]).uniform(-0.5, 0.5, shape)


def client_app(mods=(secagg_mod,), train=None) -> ClientApp:
    """A node's app; the train function adds `step_of` to every array."""
    app = ClientApp(mods=list(mods))

    def plain(message: Message, context: Context) -> Message:
        assert list(message.content) == ["arrays", "config"]
        server_round = message.content["config"]["server-round"]
        arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
        moved = {
            name: (array + step_of(context.node_id, server_round, array.shape)).astype(array.dtype)
            for name, array in arrays.items()
        }
        context.state["calls"] = ConfigRecord({"n": int(context.state.get("calls", {"n": 0})["n"]) + 1})
        metrics = {"num-examples": examples_of(context.node_id), "train_loss": 0.25 * (context.node_id % 7)}
        return Message(RecordDict({"arrays": model_record(moved), "metrics": MetricRecord(metrics)}), reply_to=message)

    app.train()(train or plain)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1, "auc": 0.5})}), reply_to=message)

    return app


def grid_of(nodes: int, **how) -> MemoryGrid:
    mods = how.pop("mods", (secagg_mod,))
    train = how.pop("train", None)
    ids = [2**63 + 11 * i for i in range(nodes)]  # Flower's ids need all 64 bits
    return MemoryGrid({node: client_app(mods, train) for node in ids}, **how)


def arrays_of(record: ArrayRecord) -> dict[str, np.ndarray]:
    return {name: array.numpy() for name, array in record.items()}
