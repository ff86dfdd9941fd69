"""Flower's own SecAgg+, client and server, on the updates that ours gets; nothing of it is rewritten here.

Its `SecAggPlusWorkflow` runs as it is. In place of a network stands `Wire`, which hands each message to Flower's own
`secaggplus_mod` of that client, and keeps the time of both ends apart.
"""

import logging
import random
from collections.abc import Iterable, Mapping
from itertools import pairwise
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client.mod.secure_aggregation.secaggplus_mod import secaggplus_mod
from flwr.common import Code, FitIns, FitRes, Parameters, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.compat.common.recorddict_compat import fitres_to_recorddict, parameters_to_arrayrecord
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD
from flwr.server.workflow.constant import Key as WorkflowKey
from flwr.server.workflow.secure_aggregation.secaggplus_workflow import SecAggPlusWorkflow, WorkflowState
from flwr.supercore.task_identity import TaskIdentity
from numpy.typing import NDArray

from bench.measure import Tell
from bench.replay import Trace, spread
from secagg.errors import SecaggError

STAGES = {"keys": "setup", "shares": "share_keys", "masked": "collect_masked_vectors", "unmask": "unmask"}
"""Phase of ours: Flower's name for it."""


def run(update: NDArray[np.float32], clients: int, neighbours: int, threshold: int, lost: int, tell: Tell) -> Trace:
    """One round in which every client has the same `update`, and `lost` of them send no vector.

    Flower's k counts the client itself, so it is ours and one more. Seeds Python's `random`, from which Flower's
    server draws its graph. Raises AssertionError unless the mean is the clipped update, to within two of Flower's
    stochastic roundings.
    """
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    random.seed(1)
    TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1  # of the server, in every message's head
    workflow = SecAggPlusWorkflow(
        num_shares=neighbours + 1, reconstruction_threshold=threshold, clipping_range=1.0, quantization_range=2**16
    )
    state = WorkflowState()
    wire, context = Wire(state, update, lost, tell), _context(range(1, clients + 1), update)
    for phase, stage in STAGES.items():
        wire.phase, wire.away = phase, 0.0
        start = perf_counter()
        went_on = getattr(workflow, f"{stage}_stage")(wire, context, state)
        wire.trace.server[phase][0] = perf_counter() - start - wire.away
        if not went_on:
            raise SecaggError(f"Flower's round ended at stage {stage}")
    mean = parameters_to_ndarrays(context.strategy.parameters)[0]
    np.testing.assert_allclose(mean, np.clip(update, -1, 1), atol=2 * 2 / 2**16)
    return wire.trace


class Wire:
    """Stands for Flower's `Grid`: delivers at once, and times clients one by one.

    Attributes:
        phase: the stage of the workflow, by our name.
        away: seconds of this stage that were not the server's.
        trace: of the round, by our phases; bytes are those of byte strings.
    """

    def __init__(self, state: WorkflowState, update: NDArray[np.float32], lost: int, tell: Tell) -> None:
        self.phase, self.away, self.trace = "", 0.0, Trace(dict.fromkeys(STAGES, "client"))
        self._state, self._lost, self._tell = state, lost, tell
        self._contexts: dict[int, Context] = {}
        self._trained = ndarrays_to_parameters([update])

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:  # noqa: ARG002
        """What `Grid.send_and_receive` promises."""
        messages, start = list(messages), perf_counter()
        silent = self._silent()
        replies = [self._deliver(message) for message in messages if message.metadata.dst_node_id not in silent]
        self.trace.asked[self.phase] += sum(map(_size, messages))
        self.trace.replied[self.phase] += map(_size, replies)
        self.away += perf_counter() - start
        return replies

    def _deliver(self, message: Message) -> Message:
        """To one client and back. The content is copied, as a network would: Flower's client changes it."""
        node = message.metadata.dst_node_id
        self._tell(f"Flower {self.phase}, client {node}")
        context = self._contexts.setdefault(node, Context(1, node, {}, RecordDict(), {}))
        content = RecordDict(dict(message.content))
        for name, record in message.content.config_records.items():
            content[name] = ConfigRecord(dict(record))
        arrived = Message(content=content, metadata=message.metadata)
        start = perf_counter()
        reply = secaggplus_mod(arrived, context, self._train)
        self.trace.client[self.phase].append(perf_counter() - start)
        return reply

    def _train(self, message: Message, _context: Context) -> Message:
        """The client app: it takes no time."""
        parameters = Parameters(list(self._trained.tensors), self._trained.tensor_type)
        result = FitRes(Status(Code.OK, ""), parameters, 1000, {})
        return Message(fitres_to_recorddict(result, keep_input=True), reply_to=message)

    def _silent(self) -> set[int]:
        """From the third stage on, as many as are lost, spread over the circle."""
        if self.phase in {"keys", "shares"} or not self._lost:
            return set()
        circle = _circle(self._state.nid_to_neighbours)
        return {circle[place] for place in spread(len(circle), self._lost)}


def _circle(neighbours: Mapping[int, set[int]]) -> list[int]:
    """The order in which Flower's server has put its clients: those next to each other share most neighbours."""
    start = min(neighbours)
    circle = [start]
    while len(circle) < len(neighbours):
        here, seen = neighbours[circle[-1]], set(circle)
        circle.append(max((n for n in here if n not in seen), key=lambda n: len(neighbours[n] & here)))
    assert all(b in neighbours[a] for a, b in pairwise([*circle, start]))
    return circle


def _context(nodes: Iterable[int], update: NDArray[np.float32]) -> Any:
    """A server's context with a strategy that samples all nodes and keeps what comes out."""
    strategy = SimpleNamespace(parameters=None)
    fit = FitIns(ndarrays_to_parameters([update[:0]]), {})

    def aggregate_fit(_round: int, results: Any, _failures: Any) -> tuple[None, dict[str, Any]]:
        strategy.parameters = results[0][1].parameters
        return None, {}

    strategy.configure_fit = lambda *_: [(SimpleNamespace(node_id=node), fit) for node in nodes]
    strategy.aggregate_fit = aggregate_fit
    manager = SimpleNamespace(num_available=lambda: len(list(nodes)))
    context = LegacyContext(Context(1, 0, {}, RecordDict(), {}), strategy=strategy, client_manager=manager)
    context.state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord({WorkflowKey.CURRENT_ROUND: 1})
    context.state.array_records[MAIN_PARAMS_RECORD] = parameters_to_arrayrecord(fit.parameters, True)
    return context


def _size(reply: Message) -> int:
    """Bytes of all byte strings in a reply; what frames and names add is left out."""
    values = [value for record in reply.content.config_records.values() for value in record.values()]
    strings = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return sum(len(item) for item in strings if isinstance(item, bytes))
