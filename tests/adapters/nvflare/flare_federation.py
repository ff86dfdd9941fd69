"""A federation in one process: NVFLARE's own controllers and client runners; a wire that can lose sites at any trip."""

import os
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import numpy as np
from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask
from nvflare.apis.dxo import MetaKey
from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import EventScope, FilterKey, FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContextManager
from nvflare.apis.impl.wf_comm_server import WFCommServer
from nvflare.apis.shareable import ReservedHeaderKey, make_reply
from nvflare.apis.signal import Signal
from nvflare.apis.workspace import Workspace
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from nvflare.app_common.workflows.fedavg import FedAvg
from nvflare.fuel.utils import fobs
from nvflare.private.fed.client.client_engine_executor_spec import TaskAssignment
from nvflare.private.fed.client.client_runner import ClientRunner, ClientRunnerConfig, TaskRouter
from nvflare.private.fed.utils.fed_utils import nvflare_fobs_initialize

from secagg.adapters.nvflare import SecAggExecutor, SecAggResultFilter, SecAggTaskFilter, SecureFedAvg, envelope
from secagg.federation.messages import PREPARE

JOB = "job-7"
MODEL = {"weights": np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3), "bias": np.zeros(3)}
WEIGHT_MAX = 400

# Before anything is encoded, as NVFLARE's own processes do: fobs takes a class that it meets unregistered for a data
# class until the process ends. A Shareable would then come empty out of a real server's bytes, its login's among them.
nvflare_fobs_initialize()


def through_the_wire(shareable):
    return fobs.loads(fobs.dumps(shareable))


def steps_of(site: str) -> int:
    return 20 + 7 * int(site.removeprefix("site-"))


def move_of(site: str, current_round: int, shape: tuple[int, ...]) -> np.ndarray:
    """What this site adds to a parameter in this round; within a clip of 0.5."""
    return np.random.default_rng([int(site.removeprefix("site-")), current_round]).uniform(-0.5, 0.5, shape)


class Engine:
    """As much of an engine as controllers, runners and executors ask for."""

    def __init__(
        self, folder: Path, name: str, clients: list[str] = (), job: str = JOB, simulated: bool = True
    ) -> None:
        for part in ("local", "startup", job):
            (folder / part).mkdir(parents=True, exist_ok=True)
        self.workspace = Workspace(str(folder), name)
        self.clients = [Client(client, "") for client in clients]
        self.handlers = []
        self.events = []
        private = {
            FLContextKey.WORKSPACE_OBJECT: self.workspace,
            FLContextKey.WORKSPACE_ROOT: str(folder),
            FLContextKey.SIMULATE_MODE: simulated,
        }
        self.contexts = FLContextManager(self, name, job, {}, private)

    def new_context(self):
        return self.contexts.new_context()

    def fire_event(self, event_type, fl_ctx):
        if event_type == EventType.FATAL_SYSTEM_ERROR:
            self.events.append(fl_ctx.get_prop(FLContextKey.EVENT_DATA))
        for handler in self.handlers:
            handler.handle_event(event_type, fl_ctx)

    def get_workspace(self):
        return self.workspace

    def get_clients(self):
        return self.clients

    def get_component(self, component_id):
        return None

    def register_aux_message_handler(self, topic, message_handle_func):
        pass

    def get_cell(self):
        return None


class Trainer(Executor):
    """The user's executor: moves every parameter; in place, as scripts may. Counts its calls."""

    def __init__(self, result: Callable[[str, FLModel], FLModel] | None = None) -> None:
        super().__init__()
        self.result = result or trained
        self.seen = []

    def execute(self, task_name, shareable, fl_ctx, abort_signal):
        assert envelope.KEY not in shareable
        self.seen.append(task_name)
        received = FLModelUtils.from_shareable(shareable)
        return FLModelUtils.to_shareable(self.result(fl_ctx.get_identity_name(), received))


def trained(site: str, received: FLModel) -> FLModel:
    for name, array in received.params.items():
        received.params[name] += move_of(site, received.current_round, array.shape).astype(array.dtype)
    metrics = {"loss": 0.25 * (steps_of(site) % 4), "private": 7.0}
    return FLModel(params=received.params, metrics=metrics, meta={MetaKey.NUM_STEPS_CURRENT_ROUND: steps_of(site)})


class Site:
    """One site's process: NVFLARE's ClientRunner with the user's executor, and this adapter's where it is secure."""

    def __init__(
        self,
        folder: Path,
        name: str,
        trainer: Executor,
        secure: bool = True,
        filters=(),
        entropy=os.urandom,
        simulated=True,
    ) -> None:
        self.folder, self.name, self.trainer, self.secure, self.filters = folder, name, trainer, secure, filters
        self.entropy, self.simulated, self.job = entropy, simulated, JOB
        self.start()

    def start(self) -> None:
        """A fresh process."""
        self.engine = Engine(self.folder, self.name, job=self.job, simulated=self.simulated)
        router, data, results = TaskRouter(), {}, {}
        router.add_executor(["*"], self.trainer)
        if self.secure:
            self.executor = SecAggExecutor(entropy=self.entropy)
            router.add_executor([envelope.TASK], self.executor)
            self.engine.handlers.append(self.executor)
            for task in ("train", "submit_model", "validate"):
                data[task + FilterKey.DELIMITER + FilterKey.IN] = [SecAggTaskFilter()]
                results[task + FilterKey.DELIMITER + FilterKey.OUT] = [*self.filters, SecAggResultFilter()]
        self.runner = ClientRunner({}, ClientRunnerConfig(router, data, results), self.job, self.engine)
        with self.engine.new_context() as fl_ctx:
            fl_ctx.set_prop(FLContextKey.RUNNER, self.runner, private=True, sticky=True)
        self.fire(EventType.START_RUN)

    def fire(self, event: str, scope: str = EventScope.LOCAL) -> None:
        with self.engine.new_context() as fl_ctx:
            fl_ctx.set_prop(FLContextKey.EVENT_SCOPE, scope, private=True, sticky=False)
            self.engine.fire_event(event, fl_ctx)

    def swap(self) -> None:
        """What the simulator does between two tasks where it has fewer threads than sites."""
        self.start()
        self.fire(EventType.SWAP_IN)

    def do(self, name: str, data, task_id: str = "t", scope=None, session: str | None = None):
        """The result of a task, as it leaves this site."""
        with self.engine.new_context() as fl_ctx, Engine(self.folder, "server", job=self.job).new_context() as peer:
            peer.set_prop("said", "at this site alone", private=False)
            fl_ctx.set_peer_context(peer)
            fl_ctx.set_prop(FLContextKey.SSID, session, private=True, sticky=False)
            if scope is not None:
                fl_ctx.set_prop(FLContextKey.SCOPE_OBJECT, scope, private=True, sticky=False)
            result = self.runner._process_task(TaskAssignment(name, task_id, through_the_wire(data)), fl_ctx)
            self.sent = fl_ctx.get_prop(FLContextKey.TASK_ID), fl_ctx.get_prop(FLContextKey.SSID)
            return through_the_wire(result)

    def push(self, name: str, data):
        """The result of a task that the server does not wait to have fetched."""
        data.set_header(ReservedHeaderKey.TASK_NAME, name)
        data.set_header(ReservedHeaderKey.TASK_ID, "pushed")
        with self.engine.new_context() as fl_ctx, Engine(self.folder, "server", job=self.job).new_context() as peer:
            fl_ctx.set_peer_context(peer)
            return self.runner._handle_do_task("", through_the_wire(data), fl_ctx)


class Wire(WFCommServer):
    """Delivers every task at once.

    Args:
        sites: {name: Site}.
        lose: (site, phase) to what goes wrong there: "silent", "error", "late", "damaged", "standing" (the task is not
            fetched, and stays until the controller cancels it), or None for nothing.
    """

    def __init__(self, sites: dict[str, Site], lose: Callable[[str, str], str | None], swapping: bool) -> None:
        super().__init__()
        self.sites, self.lose, self.swapping = sites, lose, swapping
        self.tasks = []
        self.results = []
        self.timeouts = []
        self.standing = []

    def send(self, task, fl_ctx, targets=None, send_order=None, task_assignment_timeout=0):
        (site,) = targets
        if self._deliver(task, site, fl_ctx) == "standing":
            self.standing.append(task)
        else:
            task.task_done_cb(task=task, fl_ctx=fl_ctx)

    def broadcast(self, task, fl_ctx, targets=None, min_responses=1, wait_time_after_min_received=0):
        for site in targets:
            self._deliver(task, site, fl_ctx)

    def _deliver(self, task, site, fl_ctx):
        phase = phase_of(task.data) or task.name
        self.tasks.append((phase, site, task.data))
        self.timeouts.append((phase, task.timeout))
        if self.swapping:
            self.sites[site].swap()
        fate = self.lose(site, phase)
        if fate in ("silent", "standing"):
            return fate
        result = make_reply(ReturnCode.EXECUTION_EXCEPTION)
        if fate != "error":
            result = self.sites[site].do(task.name, task.data, f"{site}-{len(self.tasks)}")
        if fate == "late":
            return fate
        if fate == "damaged":
            result[envelope.KEY] = b"\x80" + result[envelope.KEY]
        self.results.append(result)
        client_task = ClientTask(Client(site, ""), task)
        client_task.result = result
        task.result_received_cb(client_task=client_task, fl_ctx=fl_ctx)
        return fate

    def get_num_standing_tasks(self):
        assert all(task.completion_status is not None for task in self.standing), "FedAvg waits for a task of ours"
        return 0


def phase_of(shareable) -> str | None:
    return envelope.read(shareable, envelope.Ask).phase if envelope.KEY in shareable else None


class Federation:
    """Sites `site-1` to `site-n`, and what their controller makes of them.

    Attributes:
        models: parameters after each round.
        metrics: of each round's result.
        fatal: why the controller gave up.
    """

    def __init__(
        self,
        folder: Path,
        sites: int = 4,
        *,
        result=None,
        secure=True,
        filters=(),
        swapping=False,
        entropy=os.urandom,
        simulated=True,
    ) -> None:
        self.folder, self.job = folder, JOB
        self.names = [f"site-{number}" for number in range(1, sites + 1)]
        self.sites = {
            name: Site(folder / name, name, Trainer(result), secure, filters, entropy, simulated) for name in self.names
        }
        self.lose = lambda site, phase: None
        self.swapping = swapping
        self.models, self.metrics, self.fatal = [], [], []

    def run(self, rounds: int = 1, model=MODEL, kind=SecureFedAvg, **how):
        controller = kind(
            num_clients=len(self.names),
            num_rounds=rounds,
            persistor_id="",
            model={name: array.copy() for name, array in model.items()},
            **how,
        )
        return self.control(controller)

    def control(self, controller: FedAvg):
        engine = Engine(self.folder / "server", "server", self.names, self.job)
        self.wire = Wire(self.sites, self.lose, self.swapping)
        controller.set_communicator(self.wire)
        controller.save_model = self._save
        with engine.new_context() as fl_ctx:
            controller.initialize(fl_ctx)
            controller.control_flow(Signal(), fl_ctx)
        self.fatal = engine.events
        return controller

    def _save(self, model: FLModel) -> None:
        self.models.append({name: np.array(array) for name, array in model.params.items()})
        self.metrics.append(model.metrics)

    def secure(self, rounds: int = 1, **how):
        how = {"weight_max": WEIGHT_MAX, "clip": 0.5, **how}
        return self.run(rounds, **how)

    @property
    def trips(self) -> list[str]:
        """Phases in their order, those of each round; requests to prepare are no trip."""
        return [phase for phase, _ in groupby(at for at, _, _ in self.wire.tasks if at != PREPARE)]


def mean_move(sites, current_round: int, model=MODEL) -> dict[str, np.ndarray]:
    total = sum(map(steps_of, sites))
    return {
        name: sum(steps_of(site) * move_of(site, current_round, array.shape) for site in sites) / total
        for name, array in model.items()
    }


def close(found, wanted, bound, roundings=1) -> None:
    """Each array within its bound, and the rounding of its dtype that the model's own parameters have."""
    assert set(found) == set(wanted)
    for name, array in found.items():
        slack = 4 * roundings * np.finfo(array.dtype).eps
        assert np.abs(np.asarray(array, float) - wanted[name]).max() <= bound[name] + slack, name
