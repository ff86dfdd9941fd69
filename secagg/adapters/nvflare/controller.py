"""The server's end: FedAvg whose training results arrive as one secure sum."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask, Task
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from nvflare.app_common.workflows.fedavg import FedAvg
from nvflare.app_common.workflows.model_controller import ModelController

from secagg.adapters.nvflare.envelope import TASK
from secagg.adapters.nvflare.model import WEIGHTED_BY
from secagg.adapters.nvflare.round import SecureRound, model_in, no_update
from secagg.adapters.nvflare.site import read_roster
from secagg.arguments import checked, whole
from secagg.encoding.quantize import Rounding
from secagg.errors import ConfigError, ProtocolError
from secagg.federation.choice import SchemeChoice
from secagg.federation.outcome import Outcome
from secagg.federation.round import LatePolicy, Plan
from secagg.federation.server import Server
from secagg.federation.update import Clip, EncodingSpec
from secagg.primitives.entropy import Entropy
from secagg.scheme import Policy

_SECONDS = whole(0, why=" (seconds, 0 for no limit)")
_FILE = Annotated[str | None, Meta(title="a file's name")]
SUM = "secure-sum"
"""Under which name the controller gets the one result of a round."""
OUTCOMES = "secagg_outcomes.json"
"""In the server's run folder: {round: `Outcome`} of all rounds so far."""


class SecureRounds(ModelController):
    """Makes a ModelController whose training results are a weighted mean run on secure sums.

    class Mine(SecureRounds, FedAvg): ...

    The controller samples sites and sends its model by `send_model` or `send_model_and_wait` as ever. Sites (with
    `SecAggExecutor` and its filters) answer inside a secure sum, and the controller gets one result of weight 1: the
    mean of the differences between trained and sent parameters, and the means of the named metrics. Tasks of other
    names than the training task's pass unchanged.

    A round takes one task a site for each phase of the scheme, where FedAvg takes one; docs/nvflare.md counts them.

    A site lost at any task is survived. Where too few are left the round is reported, and the controller gets an
    update of zero: the model stays.

    Args:
        weight_max, weight_min, bits, clip, rounding, metrics: how updates are summed; see `EncodingSpec`.
        scheme: a key of `PROTOCOLS`.
        options: of the protocol's factory, such as {"threshold": 7}.
        min_cohort: rounds with fewer sampled sites are skipped before any task; sites refuse them by policy.
        max_late: largest share of the sampled sites, 0..1, that may be without keys and is then left to the next round,
            as long as the others are `min_cohort`; the round waits a task for the keys of more. 0 waits for all, as the
            controller's last round does.
        train_timeout: seconds that training may take, 0 for no limit; `send_model`'s own where that is set.
        phase_timeout: seconds that a phase without training may take, 0 for no limit.
        roster: name of a file in the server's `local` folder, where the scheme is `authenticated`.
        entropy: source of the ids of sessions and of their run.

    Attributes:
        outcomes: {round: `Outcome`}; also in `OUTCOMES`.

    Raises:
        ConfigError: the controller needs single results, or the scheme is unknown.
        OutOfRange: a number that the message names.
    """

    fl_ctx: FLContext

    def __init__(
        self,
        *args: Any,
        weight_max: int | None,
        weight_min: int | None = None,
        scheme: str = "secagg",
        options: dict[str, Any] | None = None,
        bits: int = 16,
        clip: Clip = 1.0,
        rounding: Rounding = "stochastic",
        metrics: dict[str, float] | None = None,
        min_cohort: int = 3,
        max_late: float = 0.25,
        train_timeout: int = 0,
        phase_timeout: int = 0,
        roster: str | None = None,
        entropy: Entropy = os.urandom,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        # NVFLARE writes a job's configuration from attributes that are named like parameters.
        self.weight_max, self.weight_min, self.scheme, self.options = weight_max, weight_min, scheme, options
        self.bits, self.clip, self.rounding, self.metrics = bits, clip, rounding, metrics
        self.min_cohort, self.max_late = min_cohort, max_late
        self.train_timeout = checked("train_timeout", train_timeout, _SECONDS)
        self.phase_timeout = checked("phase_timeout", phase_timeout, _SECONDS)
        self.roster = checked("roster", roster, _FILE)
        self.outcomes: dict[int, Outcome] = {}
        self._entropy = entropy
        self._choice = SchemeChoice(checked("scheme", scheme, str), options or {})
        self._encoding = EncodingSpec(bits, clip, weight_max, metrics or {}, rounding, weight_min)
        self._late = LatePolicy(max_late, Policy(min_cohort=min_cohort).min_cohort)
        self._server: Server | None = None
        self._requests: list[Task] = []
        self._check()

    def _check(self) -> None:
        """Raise ConfigError for what no round could be run with."""
        sampled = getattr(self, "num_clients", None)
        self._choice.check_usable(sampled or None)
        if sampled:
            scheme = self._choice.made(sampled)
            if scheme.authenticated and self.roster is None:
                raise ConfigError(f"{scheme} needs the sites' identities: roster names a file in the server's `local`")
            if self.min_cohort > sampled:
                raise ConfigError(
                    f"min_cohort is {self.min_cohort}: {sampled} sites are sampled, so no round would run"
                )
        if getattr(self, "aggregator", None) is not None:
            raise ConfigError("an aggregator of your own sees one mean alone in a secure sum: leave it out")
        if getattr(self, "aggregation_weights", None):
            raise ConfigError("aggregation_weights weigh single sites at the server, which sees none: leave them out")

    def send_model_and_wait(
        self,
        task_name: str = AppConstants.TASK_TRAIN,
        data: FLModel = None,
        targets: list[str] | None = None,
        min_responses: int | None = None,
        timeout: int = 0,
    ) -> list[FLModel]:
        """As ModelController's; of the training task there is one result."""
        if task_name != self._training_task:
            others: list[FLModel] = super().send_model_and_wait(task_name, data, targets, min_responses, timeout)
            return others
        results: list[FLModel] = []
        self._secure_round(task_name, data, targets, timeout, results.append)
        return results

    def send_model(
        self,
        task_name: str = AppConstants.TASK_TRAIN,
        data: FLModel = None,
        targets: list[str] | None = None,
        min_responses: int | None = None,
        timeout: int = 0,
        callback: Callable[[FLModel], Any] | None = None,
    ) -> None:
        """As ModelController's; `callback` has got the training task's one result when this returns."""
        if task_name == self._training_task:
            self._secure_round(task_name, data, targets, timeout, callback)
        else:
            super().send_model(task_name, data, targets, min_responses, timeout, callback)

    @property
    def _training_task(self) -> str:
        return getattr(self, "task_name", None) or AppConstants.TASK_TRAIN

    def _secure_round(
        self,
        task: str,
        data: FLModel,
        targets: list[str] | None,
        timeout: int,
        callback: Callable[[FLModel], Any] | None,
    ) -> None:
        self.set_fl_context(data)
        sites = [client.name for client in self.engine.get_clients()] if targets is None else targets
        content, number = self._build_shareable(data), data.current_round or 0
        model = model_in(content, str(self.fl_ctx.get_job_id()), task)
        server, mean, current = self._at_work(), no_update(model.arrays), None
        failure: str | None = f"{len(sites)} sites sampled, {self.min_cohort} needed"
        if len(sites) >= self.min_cohort:
            current = SecureRound(server.open(sites, model, _ends(data)), content)
            failure = self._run_round(current, task, timeout or self.train_timeout)
            mean = mean if failure is not None else current.mean()
        self.outcomes[number] = server.close(number, None if current is None else current.protocol, failure)
        self._advise(self.outcomes[number])
        self._write_outcomes()
        self._hand_over(data, task, content, mean, callback)

    def _advise(self, outcome: Outcome) -> None:
        """The likeliest cause where no site had an update to sum."""
        if self.weight_max is not None and outcome.abstained and outcome.abstained == len(outcome.contributors):
            self.warning(
                f"secure aggregation: do the scripts send {WEIGHTED_BY} in FLModel.meta, a whole number of 1 or more? "
                "The sites' own logs say why they abstained; weight_max=None asks for no weights"
            )

    def _write_outcomes(self) -> None:
        """In the rounds' order, and each one's names in theirs."""
        encode = msgspec.json.Encoder(order="deterministic").encode
        written = {number: msgspec.Raw(encode(each)) for number, each in self.outcomes.items()}
        Path(self.get_run_dir(), OUTCOMES).write_bytes(msgspec.json.encode(written))

    def _at_work(self) -> Server:
        """Made in the first round: the roster lies in a workspace that is not there before."""
        if self._server is None:
            roster = None
            if self.roster is not None:
                roster = read_roster(Path(self.engine.get_workspace().get_file_path_in_site_config(self.roster)))
            plan = Plan(self._choice, self._encoding, WEIGHTED_BY, self._late, roster, self._entropy, self._say, "site")
            self._server = Server(plan)
        return self._server

    def _say(self, level: int, text: str) -> None:
        (self.info if level < logging.WARNING else self.warning)(text)

    def _run_round(self, current: SecureRound, task: str, timeout: int) -> str | None:
        """All its trips; why there is no sum, None where there is one."""
        protocol = current.protocol
        try:
            self._request(current)
            while not protocol.coordinator.done:
                name, limit = (task, timeout) if protocol.takes_input else (TASK, self.phase_timeout)
                self._trip(current, name, limit)
            protocol.result()
        except ProtocolError as error:
            return str(error)
        finally:
            self._leave(current)
        return None

    def _request(self, current: SecureRound) -> None:
        """Ask those who are left out for their keys. Nobody waits for them, and FedAvg must find no task of theirs."""
        for site, data in current.requests().items():
            task = _task(site, TASK, data, self.phase_timeout, current.arrived_late)
            self._requests.append(task)
            self.send(task=task, fl_ctx=self.fl_ctx, targets=[site])

    def _leave(self, current: SecureRound) -> None:
        """The round is over; what sites have prepared until now is for the next."""
        for task in self._requests:
            if task.completion_status is None:
                self.cancel_task(task)
        self._requests = []
        current.leave()

    def _trip(self, current: SecureRound, name: str, timeout: int) -> None:
        """One task a site, and the end of the phase once all are done. Raises TooFew."""
        arrived: SimpleQueue[tuple[str, Shareable | None]] = SimpleQueue()
        tasks = {site: _task(site, name, data, timeout, arrived) for site, data in current.asks().items()}
        for site, task in tasks.items():
            if name != TASK:
                task.before_task_sent_cb = self._prepare_task_data
            self.send(task=task, fl_ctx=self.fl_ctx, targets=[site])
        waiting = set(tasks)
        while waiting:
            if self.abort_signal.triggered:
                raise RuntimeError("the job was aborted in a secure round")
            try:
                site, result = arrived.get(timeout=self._task_check_period)
            except Empty:
                continue
            if result is not None and site in waiting:
                current.receive(site, result)
            waiting.discard(site)
        current.protocol.coordinator.close_phase()

    def _hand_over(
        self, data: FLModel, task: str, content: Shareable, mean: FLModel, callback: Callable[[FLModel], Any] | None
    ) -> None:
        """Let the controller, and the components that listen, take the mean as if one site had sent it."""
        mean.current_round = data.current_round
        result = FLModelUtils.to_shareable(mean)
        result.set_cookie_jar(content.get_cookie_jar())
        client_task = ClientTask(Client(SUM, ""), self._prepare_task(data, task, 0, callback))
        client_task.result = result
        kept = self.fl_ctx
        with self.engine.new_context() as fl_ctx:
            peer = FLContext()
            peer.set_prop(ReservedKey.IDENTITY_NAME, SUM)
            peer.set_prop(FLContextKey.SHAREABLE, result)
            fl_ctx.set_peer_context(peer)
            self._process_result(client_task, fl_ctx)
        self.fl_ctx = kept


def _ends(data: FLModel) -> bool:
    """Whether the controller says that this round is its last."""
    return data.total_rounds is not None and data.current_round == (data.start_round or 0) + data.total_rounds - 1


def _task(
    site: str, name: str, data: Shareable, timeout: int, arrived: SimpleQueue[tuple[str, Shareable | None]]
) -> Task:
    """A task for one site; `arrived` gets (site, result), and (site, None) once the task is over."""

    def arrive(client_task: ClientTask, fl_ctx: FLContext) -> None:  # noqa: ARG001  # NVFLARE calls it by name
        arrived.put((site, client_task.result))
        client_task.result = None

    def done(task: Task, fl_ctx: FLContext) -> None:  # noqa: ARG001  # likewise
        arrived.put((site, None))

    return Task(name=name, data=data, timeout=timeout, result_received_cb=arrive, task_done_cb=done)


class SecureFedAvg(SecureRounds, FedAvg):
    """NVFLARE's FedAvg on secure sums: its own parameters, and those of `SecureRounds`."""


def secured(controller: FedAvg, parameters: Mapping[str, Any], **how: Any) -> SecureFedAvg:
    """A SecureFedAvg with the same parameters as `controller`; `parameters` are its constructor's names."""
    given = vars(controller)
    skipped = {"self", "args", "kwargs"}
    kept = {name: given.get(name, given.get(f"_{name}")) for name in parameters if name not in skipped}
    return SecureFedAvg(**kept, **how)
