"""The site's end: an executor that answers the protocol, and two filters that keep the update inside the sum."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.filter import Filter
from nvflare.apis.fl_constant import EventScope, FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.logging.constants import is_log_streaming_allowed
from nvflare.job_config.defs import FilterType

from secagg.adapters.nvflare import envelope, model
from secagg.adapters.nvflare.envelope import TASK
from secagg.adapters.nvflare.gate import EventGate, TaskGate
from secagg.adapters.nvflare.memory import LEDGER, RunFolder
from secagg.adapters.nvflare.site import FILE, Site
from secagg.errors import ConfigError, PolicyRefused, SecaggError, WireError
from secagg.federation.client import Client, Limits
from secagg.federation.update import Arrays
from secagg.primitives.entropy import Entropy

_CLIENT, _TRAINING = "secagg.client", "secagg.training"
_CODES = {code for name, code in vars(ReturnCode).items() if name.isupper()}
"""What an executor may tell the server of a task that failed."""
PACKAGES = "secagg", "secagg_protocols"
"""Installed at every site, so NVFLARE need not copy their sources into the job."""


@dataclass(repr=False)
class _Training:
    """A training task on its way through this site.

    Attributes:
        task: its id at this site.
        ask: what the result answers.
        received: copies of the parameters, since the training script may change those it is given.
        sealed: whether the result has gone into the sum.
    """

    task: str
    ask: envelope.Ask
    received: Arrays
    sealed: bool = False


class SecAggExecutor(Executor):
    """Answers a `SecureFedAvg`'s tasks; `job.to_clients(SecAggExecutor())` adds the two filters too.

    The user's executor or training script stays as it is: it gets the training task without this adapter's entry, and
    of its result, the update (trained minus received parameters), the weight (`FLModel.meta` of
    `MetaKey.NUM_STEPS_CURRENT_ROUND`) and the metrics that the server names go into the secure sum. Nothing else
    leaves. Training tasks of another controller are refused, and so is `submit_model`. What a site takes part in
    stands in its own file (`Site`).

    Participant, and keys for the next round, live in the memory of the job's process, and are gone with it: a site
    whose process dies has lost its round. The simulator ends processes between two tasks where it has fewer threads
    than sites, so there, and only there, the state is in the run folder before each reply leaves. With an identity,
    what the site has helped to open lies in the store that its own file names, for all its jobs (in the simulator,
    where it names none, in the run folder).

    Tasks of this job come one at a time (`TaskGate`). With an identity, since a server can send any, tasks come by the
    names above alone, and no federated event by one of NVFLARE's own (`EventGate`).

    Errors are logged here. The server is told NVFLARE's return code alone, and counts the site as lost.

    Args:
        tasks: names of the training tasks.
        entropy: source of all secrets.
    """

    def __init__(self, tasks: list[str] | None = None, entropy: Entropy = os.urandom) -> None:
        super().__init__()
        self.tasks = tasks
        self._entropy = entropy
        self._client: Client | None = None
        self._memory: RunFolder | None = None

    def add_to_fed_job(self, job: Any, ctx: Any, **kwargs: Any) -> None:
        """For `FedJob.to`: this executor for its own task, and a filter at each end of the training tasks."""
        job.check_kwargs(args_to_check=kwargs, args_expected={})
        job.job.set_app_packages(sorted({*job.job.app_packages, *PACKAGES}))
        job.add_executor(self, tasks=[TASK], ctx=ctx)
        for task in filtered(self.tasks):
            job.add_filter(SecAggTaskFilter(), FilterType.TASK_DATA, [task], ctx)
            job.add_filter(SecAggResultFilter(), FilterType.TASK_RESULT, [task], ctx)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Be found by the filters; remember what the simulator's processes do not.

        Raises ConfigError or StateError at the start of a run in which this site can take no part.
        """
        if fl_ctx.get_prop(FLContextKey.EVENT_SCOPE, EventScope.LOCAL) != EventScope.LOCAL:
            return  # a server may call its event anything
        if event_type == EventType.START_RUN:
            self._start(fl_ctx)
        elif event_type == EventType.SWAP_IN and self._memory is not None:
            # The simulator says so before every task, and nobody else does.
            self._memory.lasting = _simulated(fl_ctx)
        elif event_type == EventType.END_RUN and self._client is not None:
            self._client.end()

    def _start(self, fl_ctx: FLContext) -> None:
        site, simulated = _site(fl_ctx), _simulated(fl_ctx)
        runner, engine = fl_ctx.get_prop(FLContextKey.RUNNER), fl_ctx.get_engine()
        # Closed first: NVFLARE goes on with the run whatever is raised here.
        gate = runner._process_task = TaskGate(runner._process_task)
        events = engine.fire_event = EventGate(engine.fire_event)
        run = Path(fl_ctx.get_workspace().get_run_dir(fl_ctx.get_job_id()))
        streams = not simulated and is_log_streaming_allowed(fl_ctx)
        self._memory = RunFolder(run, lambda: _ledger_of(site, run if simulated else None))
        self._client = Client(site.name, lambda: _limits_of(site, streams), self._memory, self._entropy)
        fl_ctx.set_prop(_CLIENT, self._client, private=True, sticky=True)
        try:  # what forbids all rounds is told before the first
            active = _limits_of(site, streams).credentials is not None
            if active:
                self._memory.party_store()
        except SecaggError as error:
            self.log_error(fl_ctx, f"this site takes no task: {error}")
            raise
        if not active:
            gate.open_to(None)
            events.open()
            return
        gate.open_to([TASK, *filtered(self.tasks)])
        if simulated and site.store() is None:
            self.log_info(
                fl_ctx, f"simulation: what {site.name} helps to open is remembered for this job, {run / LEDGER}"
            )

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:  # noqa: ARG002
        """Answer one phase without training. Raises SecaggError, which NVFLARE logs and replies by its code."""
        client, ask = _client(fl_ctx), envelope.read(shareable, envelope.Ask)
        with client.leaving():
            if client.begin(ask):
                raise WireError(f"an ask of phase {ask.phase!r} in a task without a model")
            return envelope.put(make_reply(ReturnCode.OK), client.answer(ask))


class SecAggTaskFilter(Filter):
    """For what comes in: takes this adapter's entry out of a training task, and checks what the site will train by.

    The last of the filters of task data. It can also stand in a site's own `privacy.json`, where no job can leave it
    out; then tasks of every name pass it, and all but `validate` and this adapter's own need the entry.
    """

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """The task as plain FedAvg sends it. Raises SecaggError, which NVFLARE replies by its code."""
        task = fl_ctx.get_prop(FLContextKey.TASK_NAME)
        if _training(fl_ctx) is not None or task == TASK:
            return shareable
        if task == AppConstants.TASK_VALIDATION:
            _check_validation(fl_ctx)
            return shareable
        if envelope.KEY not in shareable:
            raise PolicyRefused(
                f"task {task!r} without secure aggregation, expected one of SecureFedAvg: "
                "this site's updates leave it inside a secure sum only"
            )
        client, ask = _client(fl_ctx), envelope.read(shareable, envelope.Ask)
        job, content = str(fl_ctx.get_job_id()), model.bound(shareable)
        received = model.arrays_of(model.dxo_of(content, "task").data, "task")
        with client.leaving():
            if not client.begin(ask):
                raise WireError(f"an ask of phase {ask.phase!r} in a training task")
            client.check(model.content_digest(job, task, content), received)
            if not client.trains(ask):
                raise WireError("a training task that this site has answered already")
        received = {name: array.copy() for name, array in received.items()}
        training = _Training(_withhold(fl_ctx, job), ask, received)
        fl_ctx.set_prop(_TRAINING, training, private=True, sticky=False)
        return content


class SecAggResultFilter(Filter):
    """For what goes out: puts a training result into the sum, and lets nothing else through.

    The last of the filters of task results: those before it (differential privacy, say) see the plain update. See
    `SecAggTaskFilter` for a site's own `privacy.json`.
    """

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """The sealed result. Raises SecaggError, which NVFLARE replies by its code."""
        training, code = _training(fl_ctx), shareable.get_return_code()
        task = fl_ctx.get_prop(FLContextKey.TASK_NAME)
        if code != ReturnCode.OK:
            return make_reply(code if code in _CODES else ReturnCode.EXECUTION_EXCEPTION)
        if task == TASK or (training is not None and training.sealed):
            return envelope.put(make_reply(code), envelope.read(shareable, envelope.Reply))
        if training is None:
            metrics = model.metrics_alone(shareable)
            if metrics is None:
                raise PolicyRefused(
                    f"task {task!r}: its result is no set of metrics, expected a number for each name; "
                    "a model leaves this site inside a secure sum only"
                )
            return metrics
        train = partial(model.trained_of, training.received, shareable)
        sealed = envelope.put(make_reply(code), _client(fl_ctx).answer(training.ask, train))
        training.sealed = True
        return sealed


def filtered(tasks: list[str] | None) -> list[str]:
    """Names of the tasks that pass our filters: those that train, and those whose results hold a model or numbers."""
    return [*(tasks or [AppConstants.TASK_TRAIN]), AppConstants.TASK_SUBMIT_MODEL, AppConstants.TASK_VALIDATION]


def _training(fl_ctx: FLContext) -> _Training | None:
    """The training task that this context is about, if it is one."""
    training: _Training | None = fl_ctx.get_prop(_TRAINING)
    return training if training is not None and training.task == str(fl_ctx.get_prop(FLContextKey.TASK_ID)) else None


def _withhold(fl_ctx: FLContext, job: str) -> str:
    """Take from a task's context what the server may make another at each site; the id that the task has from here on.

    Its own context's public properties may be anything.
    """
    peer, task = FLContext(), str(uuid4())
    peer.set_prop(FLContextKey.CURRENT_RUN, job, private=False, sticky=False)
    fl_ctx.set_peer_context(peer)
    fl_ctx.set_prop(FLContextKey.TASK_ID, task, private=True, sticky=False)
    return task


def _site(fl_ctx: FLContext) -> Site:
    return Site(Path(fl_ctx.get_workspace().get_site_config_dir()), fl_ctx.get_identity_name())


def _simulated(fl_ctx: FLContext) -> bool:
    """NVFLARE's simulator says so to itself alone; its proof of concept (`poc`) is a deployment."""
    return bool(fl_ctx.get_prop(FLContextKey.SIMULATE_MODE, False))


def _ledger_of(site: Site, run: Path | None) -> Path:
    """Where the ledger is; `run` takes a store's place in the simulator. Raises ConfigError."""
    store = site.store()
    if store is not None:
        return store
    if run is None:
        raise ConfigError(
            f"{FILE} of site {site.name!r} names an identity and no store: a server could start another job over a "
            'model that this site has helped to open. Add "store": "secagg.ledger", a file beside it that outlives all '
            "jobs"
        )
    return run / LEDGER


def _limits_of(site: Site, streams: bool) -> Limits:
    """What the site's file says. Raises ConfigError where a server that may lie would get this site's log."""
    limits = site.limits()
    if streams and limits.credentials is not None:
        raise ConfigError(
            f"site {site.name!r} has an identity since the server may lie, and streams its log to it, the texts of "
            'errors included: "allow_log_streaming": false in its resources.json ends that'
        )
    return limits


def _check_validation(fl_ctx: FLContext) -> None:
    site = _site(fl_ctx)
    if not site.validates():
        raise PolicyRefused(
            f"task 'validate': its numbers leave in clear, for any model that the server sends; site {site.name!r} has "
            f'an identity since the server may lie. "validate": true in {FILE} allows it all the same'
        )


def _client(fl_ctx: FLContext) -> Client:
    client = fl_ctx.get_prop(_CLIENT)
    if not isinstance(client, Client):
        raise PolicyRefused("this job has no SecAggExecutor at this site, so no update leaves it")
    return client
