"""The site's end: an executor that answers the protocol, and two filters that keep the update inside the sum."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.filter import Filter
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal
from nvflare.app_common.app_constant import AppConstants
from nvflare.job_config.defs import FilterType

from secagg.adapters.choice import Terms, read_terms
from secagg.adapters.nvflare import envelope, memory, model
from secagg.adapters.nvflare.envelope import TASK
from secagg.adapters.nvflare.site import Site
from secagg.adapters.run import PREPARE, Ahead
from secagg.adapters.update import Arrays
from secagg.api import Journal, Participant, Prepared
from secagg.encoding.layout import Update
from secagg.errors import InconsistentModel, PolicyRefused, ProtocolError, StateError, WireError
from secagg.primitives.entropy import Entropy
from secagg.scheme import Ledger, Scheme, Seat, Session, Store

_EXECUTOR, _TRAINING = "secagg.executor", "secagg.training"
PACKAGES = "secagg", "secagg_protocols"
"""Installed at every site, so NVFLARE need not copy their sources into the job."""
LEDGER = "secagg.ledger"
"""In the site's run folder, where the server may lie: what this site has helped to open in this job."""


@dataclass(frozen=True, repr=False)
class _Part:
    """This site's part in one round."""

    terms: Terms
    scheme: Scheme
    participant: Participant
    ledger: Ledger | None


@dataclass(repr=False)
class _Training:
    """A training task on its way through this site.

    Attributes:
        task: its id.
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
    stands in its own `Site` file.

    Participant, and keys for the next round, live in the memory of the job's process, and are gone with it: a site
    whose process dies has lost its round. The simulator ends processes between two tasks where it has fewer threads
    than sites, so there, and only there, the state is in the run folder before each reply leaves.

    Errors are logged here. The server is told NVFLARE's return code alone, and counts the site as lost.

    Args:
        tasks: names of the training tasks.
        entropy: source of all secrets.
    """

    def __init__(self, tasks: list[str] | None = None, entropy: Entropy = os.urandom) -> None:
        super().__init__()
        self.tasks = tasks
        self._entropy = entropy
        self._part: _Part | None = None
        self._prepared: Prepared | None = None
        self._simulated = False

    def add_to_fed_job(self, job: Any, ctx: Any, **kwargs: Any) -> None:
        """For `FedJob.to`: this executor for its own task, and a filter at each end of the training tasks."""
        job.check_kwargs(args_to_check=kwargs, args_expected={})
        job.job.set_app_packages(sorted({*job.job.app_packages, *PACKAGES}))
        job.add_executor(self, tasks=[TASK], ctx=ctx)
        for task in (*(self.tasks or [AppConstants.TASK_TRAIN]), AppConstants.TASK_SUBMIT_MODEL):
            job.add_filter(SecAggTaskFilter(), FilterType.TASK_DATA, [task], ctx)
            job.add_filter(SecAggResultFilter(), FilterType.TASK_RESULT, [task], ctx)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Be found by the filters; be back in the round where the simulator has started a new process."""
        if event_type == EventType.START_RUN:
            fl_ctx.set_prop(_EXECUTOR, self, private=True, sticky=True)
        elif event_type == EventType.SWAP_IN:  # the simulator says so before every task, and nobody else does
            self._simulated = True
            self._swapped_in(fl_ctx)
        elif event_type == EventType.END_RUN:
            self._part = self._prepared = None
            memory.forget(_run_folder(fl_ctx), memory.Swapped)
            memory.forget(_run_folder(fl_ctx), memory.Kept)

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:  # noqa: ARG002
        """Answer one phase without training. Raises SecaggError, which NVFLARE logs and replies by its code."""
        ask = envelope.read(shareable, envelope.Ask)
        if ask.phase == PREPARE:
            return self._prepares(ask, fl_ctx)
        with self.leaving(fl_ctx):
            part = self.part(ask, fl_ctx)
            if _phase_takes_input(part.scheme, ask.phase):
                raise WireError(f"an ask of phase {ask.phase!r} in a task without a model")
        return self.reply(ask, None, 1, fl_ctx)

    def part(self, ask: envelope.Ask, fl_ctx: FLContext) -> _Part:
        """The round that the ask belongs to, entered if it is this site's first ask of it."""
        if ask.terms is not None and ask.session is not None and not self._in(ask.session):
            self._part = None  # whatever comes of it, the last round is over
            self._part = self._entered(read_terms(ask.terms), ask.session, fl_ctx)
        if self._part is None:
            raise StateError("this site is in no round: it was asked for a later phase first, or has left the round")
        return self._part

    def _in(self, session: bytes) -> bool:
        """Whether this site is in that round already: NVFLARE repeats a task whose result it has not got."""
        return self._part is not None and self._part.participant.session.to_bytes() == session

    def reply(self, ask: envelope.Ask, update: Update, weight: int, fl_ctx: FLContext) -> Shareable:
        """The result that answers `ask`; whoever refuses, or has answered the last phase, leaves the round."""
        with self.leaving(fl_ctx):
            part = self.part(envelope.Ask(ask.version, ask.phase, ask.frame), fl_ctx)
            frame = part.participant.answer(ask.frame, update, weight, store=lambda _: self._store(part, fl_ctx))
        if ask.phase == part.scheme.phases[-1].name:
            self._left(fl_ctx)
        prepared = None if ask.ahead is None else self._prepare(part.scheme, ask.ahead, fl_ctx)
        return envelope.put(make_reply(ReturnCode.OK), envelope.Reply(envelope.VERSION, ask.phase, frame, prepared))

    def _prepares(self, ask: envelope.Ask, fl_ctx: FLContext) -> Shareable:
        """This site is in no round now: it sends its keys for the next one."""
        if ask.terms is None or ask.ahead is None:
            raise WireError("a request to prepare a round that it does not name")
        scheme = _site(fl_ctx).consent.made(read_terms(ask.terms), ask.ahead.parties)
        prepared = self._prepare(scheme, ask.ahead, fl_ctx)
        return envelope.put(make_reply(ReturnCode.OK), envelope.Reply(envelope.VERSION, PREPARE, None, prepared))

    def _prepare(self, scheme: Scheme, ahead: Ahead, fl_ctx: FLContext) -> bytes:
        """The message for the server; the secrets stay, in place of any before."""
        me = fl_ctx.get_identity_name()
        self._prepared = ahead.prepared(scheme, me, self._entropy, _site(fl_ctx).credentials)
        if self._simulated:
            memory.store(_run_folder(fl_ctx), memory.Kept.of(self._prepared, self._entropy))
        return self._prepared.message

    @contextmanager
    def leaving(self, fl_ctx: FLContext) -> Iterator[None]:
        """Whoever refused once reveals nothing more in this round."""
        try:
            yield
        except ProtocolError:
            self._left(fl_ctx)
            raise

    def _left(self, fl_ctx: FLContext) -> None:
        self._part = None
        memory.forget(_run_folder(fl_ctx), memory.Swapped)

    def _store(self, part: _Part, fl_ctx: FLContext) -> None:
        """What a site has helped to open is on disk before its share leaves, and no key that served is on it."""
        if part.ledger is not None:
            Journal(_run_folder(fl_ctx) / LEDGER).save(part.ledger.to_bytes())
        if self._simulated:
            memory.forget(_run_folder(fl_ctx), memory.Kept)
            memory.store(_run_folder(fl_ctx), memory.Swapped.of(part.terms, part.participant, self._entropy))

    def _entered(self, terms: Terms, data: bytes, fl_ctx: FLContext) -> _Part:
        site, session = _site(fl_ctx), Session.from_bytes(data)
        scheme = site.consent.made(terms, len(session.parties))
        ledger = None if site.credentials is None else _ledger(fl_ctx)
        prepared, self._prepared = self._prepared, None
        seat = Seat(
            fl_ctx.get_identity_name(),
            policy=site.policy,
            context=session.context,  # compared with what came, before anything is trained on it
            entropy=self._entropy,
            credentials=site.credentials,
            store=None if ledger is None else Store(ledger),
        )
        fits = prepared is not None and prepared.fits(scheme, session, seat)
        participant = Participant(scheme, session, seat, prepared=prepared if fits else None)
        return _Part(terms, scheme, participant, ledger)

    def _swapped_in(self, fl_ctx: FLContext) -> None:
        folder = _run_folder(fl_ctx)
        if self._part is None and (swapped := memory.load(folder, memory.Swapped)) is not None:
            self._part = self._restored(swapped, fl_ctx)
        if self._prepared is None and (kept := memory.load(folder, memory.Kept)) is not None:
            self._prepared = Prepared.restore(kept.state, kept.key)

    def _restored(self, swapped: memory.Swapped, fl_ctx: FLContext) -> _Part:
        site, terms = _site(fl_ctx), read_terms(swapped.terms)
        scheme = site.consent.made(terms, swapped.parties)
        ledger = None if site.credentials is None else _ledger(fl_ctx)
        seat = Seat(
            fl_ctx.get_identity_name(),
            entropy=self._entropy,
            credentials=site.credentials,
            store=None if ledger is None else Store(ledger),
        )
        participant = Participant.restore(scheme, swapped.state, swapped.key, seat)
        return _Part(terms, scheme, participant, ledger)


class SecAggTaskFilter(Filter):
    """For what comes in: takes this adapter's entry out of a training task, and checks what the site will train by.

    The last of the filters of task data. It can also stand in a site's own `privacy.json`, where no job can leave it
    out; then tasks of every name pass it, and all but `validate` and this adapter's own need the entry.
    """

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """The task as plain FedAvg sends it. Raises SecaggError, which NVFLARE replies by its code."""
        task = fl_ctx.get_prop(FLContextKey.TASK_NAME)
        if _training(fl_ctx) is not None or task in (TASK, AppConstants.TASK_VALIDATION):
            return shareable
        if envelope.KEY not in shareable:
            raise PolicyRefused(
                f"task {task!r} without secure aggregation, expected one of SecureFedAvg: "
                "this site's updates leave it inside a secure sum only"
            )
        executor, ask = _executor(fl_ctx), envelope.read(shareable, envelope.Ask)
        content = envelope.users_part(shareable)
        with executor.leaving(fl_ctx):
            part = executor.part(ask, fl_ctx)
            if not _phase_takes_input(part.scheme, ask.phase):
                raise WireError(f"an ask of phase {ask.phase!r} in a training task")
            if model.context_of(str(fl_ctx.get_job_id()), task, content) != part.participant.session.context:
                raise InconsistentModel(
                    "model, configuration, round or job differ from those that the session was opened for"
                )
        received = model.arrays_of(model.dxo_of(content, "task").data, "task")
        received = {name: array.copy() for name, array in received.items()}
        training = _Training(str(fl_ctx.get_prop(FLContextKey.TASK_ID)), ask, received)
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
            return make_reply(code)
        if task == TASK or (training is not None and training.sealed):
            return envelope.put(make_reply(code), envelope.read(shareable, envelope.Reply))
        if training is None:
            return _only_metrics(task, shareable)
        executor = _executor(fl_ctx)
        with executor.leaving(fl_ctx):
            part = executor.part(envelope.Ask(envelope.VERSION, training.ask.phase, b""), fl_ctx)
            weighted = part.participant.session.weight_max is not None
            update, weight = model.input_of(training.received, shareable, part.terms, weighted)
            sealed = executor.reply(training.ask, update, weight, fl_ctx)
        training.sealed = True
        return sealed


def _only_metrics(task: str, shareable: Shareable) -> Shareable:
    """The numbers in the result of a task that asked for no update. Raises PolicyRefused where there is more in it."""
    metrics = model.metrics_of(shareable)
    if metrics is None:
        raise PolicyRefused(
            f"task {task!r}: its result is no set of metrics, expected a number for each name; "
            "a model leaves this site inside a secure sum only"
        )
    return model.metrics_alone(metrics)


def _phase_takes_input(scheme: Scheme, name: str) -> bool:
    phase = next((phase for phase in scheme.phases if phase.name == name), None)
    if phase is None:
        raise WireError(f"an ask of phase {name!r}, which {scheme.name} does not have")
    return phase.takes_input


def _training(fl_ctx: FLContext) -> _Training | None:
    """The training task that this context is about, if it is one."""
    training: _Training | None = fl_ctx.get_prop(_TRAINING)
    return training if training is not None and training.task == str(fl_ctx.get_prop(FLContextKey.TASK_ID)) else None


def _executor(fl_ctx: FLContext) -> SecAggExecutor:
    executor = fl_ctx.get_prop(_EXECUTOR)
    if not isinstance(executor, SecAggExecutor):
        raise PolicyRefused("this job has no SecAggExecutor at this site, so no update leaves it")
    return executor


def _site(fl_ctx: FLContext) -> Site:
    return Site.read(Path(fl_ctx.get_workspace().get_site_config_dir()), fl_ctx.get_identity_name())


def _run_folder(fl_ctx: FLContext) -> Path:
    return Path(fl_ctx.get_workspace().get_run_dir(fl_ctx.get_job_id()))


def _ledger(fl_ctx: FLContext) -> Ledger:
    data = Journal(_run_folder(fl_ctx) / LEDGER).load()
    return Ledger() if data is None else Ledger.from_bytes(data)
