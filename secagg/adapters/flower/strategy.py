"""The server's end: a strategy around any other whose aggregation is a weighted mean."""

import logging
import os
from collections.abc import Iterable, Mapping
from inspect import signature
from typing import Annotated, Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.serverapp import Grid
from flwr.serverapp import strategy as fl
from flwr.serverapp.strategy import Result, Strategy
from msgspec import Meta

from secagg.adapters.flower import model, seen
from secagg.adapters.flower.round import SecureRound, check_alike
from secagg.arguments import checked
from secagg.encoding.quantize import Rounding
from secagg.errors import ConfigError, ProtocolError
from secagg.federation.choice import SchemeChoice
from secagg.federation.outcome import Outcome
from secagg.federation.round import LatePolicy, Plan
from secagg.federation.server import Server
from secagg.federation.update import Clip, EncodingSpec, Model
from secagg.primitives.entropy import Entropy
from secagg.scheme import Policy, Roster, Scheme

log = logging.getLogger("flwr.secagg")

_Seconds = Annotated[float, Meta(gt=0, title="seconds, more than 0")]
REFUSED: dict[type[Strategy], str] = {
    fl.MultiKrum: "it compares single updates to each other",
    fl.Bulyan: "it compares single updates to each other",
    fl.FedMedian: "it takes the median of single updates",
    fl.FedTrimmedAvg: "it drops the extremes of single updates",
    fl.QFedAvg: "it weights single updates by their own losses",
    fl.FedXgbBagging: "it collects single trees",
    fl.FedXgbCyclic: "it hands the model of one node to the next",
    fl.DifferentialPrivacyServerSideFixedClipping: "it clips single updates at the server; clip at the clients",
    fl.DifferentialPrivacyServerSideAdaptiveClipping: "it clips single updates at the server; clip at the clients",
    fl.DifferentialPrivacyClientSideAdaptiveClipping: "it counts the clients whose norms are small; use fixed clipping",
    fl.DifferentialPrivacyClientSideFixedClipping: (
        "it counts single replies; put it around SecureAggregation, not inside"
    ),
}
"""Strategies of Flower that no sum can serve (Krum is a MultiKrum), and why."""


class SecureAggregation(Strategy):
    """Runs another strategy whose server learns, of each round's updates, their weighted mean alone.

    The wrapped strategy samples nodes and makes the train messages as ever. Clients (with `secagg_mod`) answer them
    inside a secure sum, and the wrapped strategy's `aggregate_train` gets one reply: the model plus the weighted
    mean update, the total weight, and the means of the named metrics. What it makes of that mean is its own.

    A round takes one trip for each phase of the scheme, where plain FedAvg takes one; docs/flower.md counts them.

    A node lost at any trip is survived. Where too few are left, the round is reported and skipped: the wrapped
    strategy gets no replies and the model stays. Evaluation is not touched: the metrics that clients reply to evaluate
    messages travel in clear. The mod refuses replies with an ArrayRecord; lists in metrics and bytes in configuration
    pass.

    Args:
        strategy: any that needs no single updates.
        weight_max, weight_min, bits, clip, rounding, metrics: how updates are summed; see `EncodingSpec`.
        scheme: a key of `PROTOCOLS`, or a scheme that `SecAggMod(scheme=...)` is given too.
        options: of the protocol's factory, such as {"threshold": 7}; for a name only.
        min_cohort: rounds with fewer sampled nodes are skipped before any message; clients refuse them by policy.
        max_late: largest share of the sampled nodes, 0..1, that may be without keys and is then left to the next round,
            as long as the others are `min_cohort` and the wrapped strategy's `min_train_nodes`; the round waits a trip
            for the keys of more. 0 waits for all, as the last round of `start` does.
        phase_timeout: seconds that a trip without training may take; None for `start`'s `timeout`.
        weighted_by_key: metric of the clients' replies that holds the weight; None for the wrapped strategy's own, by
            which that strategy gets the total in any case.
        roster: identities by node id as text, where the scheme is `authenticated`.
        entropy: source of session ids.

    Attributes:
        outcomes: {server round: `Outcome`} of the run that was started last.

    Raises:
        ConfigError: the strategy needs single updates, or the scheme is unknown.
        OutOfRange: a number that the message names.
    """

    def __init__(
        self,
        strategy: Strategy,
        weight_max: int | None,
        *,
        weight_min: int | None = None,
        scheme: str | Scheme = "secagg",
        options: Mapping[str, Any] | None = None,
        bits: int = 16,
        clip: Clip = 1.0,
        rounding: Rounding = "stochastic",
        metrics: Mapping[str, float] | None = None,
        min_cohort: int = 3,
        max_late: float = 0.25,
        phase_timeout: float | None = None,
        weighted_by_key: str | None = None,
        roster: Roster | None = None,
        entropy: Entropy = os.urandom,
    ) -> None:
        check_strategy(strategy)
        self.strategy = strategy
        encoding = EncodingSpec(bits, clip, weight_max, metrics or {}, rounding, weight_min)
        weighted_by_key = checked("weighted_by_key", weighted_by_key, str | None)
        inner = str(getattr(strategy, "weighted_by_key", weighted_by_key or "num-examples"))
        weighted_by = weighted_by_key or inner
        for key in (weighted_by, inner):
            if key in encoding.metrics:
                raise ConfigError(f"metric {key!r} is the weight, which is summed anyway")
        self._total_key = inner
        self._min_cohort = Policy(min_cohort=min_cohort).min_cohort
        late = LatePolicy(max_late, max(self._min_cohort, int(getattr(strategy, "min_train_nodes", 0))))
        choice = SchemeChoice(scheme, options or {})
        self._plan = Plan(choice, encoding, weighted_by, late, roster, entropy, log.log, "node")
        self._phase_timeout: float | None = checked("phase_timeout", phase_timeout, _Seconds | None)
        self._timeout: float | None = None
        self._last: int | None = None  # unknown where a strategy around this one starts
        self._round: SecureRound | None = None
        self._begin()

    def _begin(self) -> None:
        """A run: nothing known of an earlier one."""
        self.outcomes: dict[int, Outcome] = {}
        self._server = Server(self._plan)
        self._met = False

    def __repr__(self) -> str:
        return f"SecureAggregation({type(self.strategy).__name__}, scheme={self._plan.choice.name!r})"

    def summary(self) -> None:
        """Log what is summed and how, then the wrapped strategy's summary."""
        log.info("\t├──> Secure aggregation:")
        spec = self._plan.encoding
        log.info("\t│\t├── Scheme: %s", self._plan.choice.name)
        log.info("\t│\t├── Bits: %d, %s rounding | clip: %s", spec.bits, spec.rounding, spec.clip)
        log.info("\t│\t└── Weighted by: '%s', at most %s", self._plan.weighted_by, spec.weight_max)
        self.strategy.summary()

    def start(self, *args: Any, **kwargs: Any) -> Result:
        """Run `Strategy.start` with outcomes and keys of its own; what an earlier run left is dropped.

        Its `timeout` is also that of the trips without training, unless they have their own.
        """
        bound = signature(super().start).bind(*args, **kwargs)
        bound.apply_defaults()
        self._timeout, self._last = bound.arguments["timeout"], bound.arguments["num_rounds"]
        self._begin()
        return super().start(*args, **kwargs)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Sample by the wrapped strategy, run the phases before training, and return the asks that carry the model."""
        self._round = None
        messages = list(self.strategy.configure_train(server_round, arrays, config, grid))
        if not messages:
            return []
        if len(messages) < self._min_cohort:
            why = f"{len(messages)} nodes sampled, {self._min_cohort} needed (see the strategy's min_train_nodes)"
            self._close(server_round, why)
            return []
        self._round = self._opened(server_round, messages, grid)
        try:
            self._round.request()
            self._round.advance(self._trip_timeout)
        except ProtocolError as error:
            self._close(server_round, str(error))
            return []
        return self._round.asks()

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Run the phases after training, and let the wrapped strategy aggregate the one mean, or nothing."""
        current, means = self._round, []
        if current is not None:
            try:
                current.absorb(replies)
                current.advance(self._trip_timeout)
                means = [self._reply(server_round, current)]
            except ProtocolError as error:
                self._close(server_round, str(error))
            else:
                self._close(server_round)
        return self.strategy.aggregate_train(server_round, means)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As the wrapped strategy does."""
        return self.strategy.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """As the wrapped strategy does."""
        return self.strategy.aggregate_evaluate(server_round, replies)

    @property
    def _trip_timeout(self) -> float | None:
        return self._timeout if self._phase_timeout is None else self._phase_timeout

    def _opened(self, server_round: int, messages: list[Message], grid: Grid) -> SecureRound:
        check_alike(messages)
        by_node, first = {str(message.metadata.dst_node_id): message for message in messages}, messages[0]
        self._array_name, record = model.only_arrays(first.content, "the strategy's train message")
        arrays = model.numpy_arrays(record, "the strategy's train message")
        digest = seen.content_digest(first.metadata, seen.run_config_of(grid), first.content)
        last = server_round == self._last
        return SecureRound(self._server.open(by_node, Model(arrays, digest), last), by_node, grid)

    def _reply(self, server_round: int, current: SecureRound) -> Message:
        """The one reply that the wrapped strategy gets, from the server to itself. Raises PeerMisbehaved."""
        result = current.protocol.result()
        moved = model.applied(current.protocol.model.arrays, result.mean["arrays"])
        means = {name: each.mean for name, each in current.protocol.metrics().items()}
        metrics = MetricRecord({**means, self._total_key: result.weight})
        content = RecordDict({self._array_name: moved, "metrics": metrics})
        return Message(content, SUPERLINK_NODE_ID, MessageType.TRAIN, group_id=str(server_round))

    def _close(self, server_round: int, failure: str | None = None) -> None:
        """The round is over; what nodes have prepared until now is for the next."""
        current, self._round = self._round, None
        if current is not None:
            current.collect()
            self._met |= current.met
            if failure is not None and not self._met:
                failure = f"{failure}; no node has answered yet: is secagg_mod in ClientApp(mods=[...])?"
        protocol = None if current is None else current.protocol
        self.outcomes[server_round] = self._server.close(server_round, protocol, failure)


def check_strategy(strategy: Strategy) -> None:
    """Raise ConfigError for a strategy, or one that it wraps, that needs single updates; says why."""
    if not isinstance(strategy, Strategy):
        raise ConfigError(f"strategy is {type(strategy).__name__}, expected a flwr.serverapp.strategy.Strategy")
    for each in _with_wrapped(strategy):
        if isinstance(each, SecureAggregation):
            raise ConfigError("a SecureAggregation inside another one, expected one")
        for kind, why in REFUSED.items():
            if isinstance(each, kind):
                raise ConfigError(
                    f"{type(each).__name__} cannot run on secure aggregation, where the server learns the sum alone: "
                    f"{why}. Expected a strategy that aggregates by a weighted mean, such as FedAvg, FedAvgM or FedAdam"
                )


def _with_wrapped(strategy: Strategy) -> list[Strategy]:
    """A strategy and all that it holds in its attributes, or in lists and dicts there."""
    found: dict[int, Strategy] = {}
    waiting: list[Any] = [strategy]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Strategy) and id(value) not in found:
            found[id(value)] = value
            for attribute in vars(value).values():
                waiting += attribute.values() if isinstance(attribute, Mapping) else _listed(attribute)
    return list(found.values())


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple | set) else [value]
