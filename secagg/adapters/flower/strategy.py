"""The server's end: a strategy around any other whose aggregation is a weighted mean."""

import logging
import os
from collections.abc import Collection, Iterable, Mapping
from inspect import signature
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.serverapp import Grid
from flwr.serverapp.strategy import (
    Bulyan,
    DifferentialPrivacyClientSideAdaptiveClipping,
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideAdaptiveClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedMedian,
    FedTrimmedAvg,
    FedXgbBagging,
    FedXgbCyclic,
    MultiKrum,
    QFedAvg,
    Result,
    Strategy,
)

from secagg.adapters.choice import Offer
from secagg.adapters.flower.round import SecureRound, check_alike
from secagg.adapters.outcome import Outcome, Precision
from secagg.adapters.round import Plan
from secagg.adapters.run import Lateness, Run
from secagg.adapters.update import Clip, Numbers
from secagg.api import Aggregate
from secagg.encoding.quantize import Rounding
from secagg.errors import ConfigError, OutOfRange, ProtocolError
from secagg.primitives.entropy import Entropy
from secagg.scheme import Policy, Roster, Scheme

log = logging.getLogger("flwr.secagg")

REFUSED: dict[type[Strategy], str] = {
    MultiKrum: "it compares single updates to each other",
    Bulyan: "it compares single updates to each other",
    FedMedian: "it takes the median of single updates",
    FedTrimmedAvg: "it drops the extremes of single updates",
    QFedAvg: "it weights single updates by their own losses",
    FedXgbBagging: "it collects single trees",
    FedXgbCyclic: "it hands the model of one node to the next",
    DifferentialPrivacyServerSideFixedClipping: "it clips single updates at the server; clip at the clients",
    DifferentialPrivacyServerSideAdaptiveClipping: "it clips single updates at the server; clip at the clients",
    DifferentialPrivacyClientSideAdaptiveClipping: "it counts the clients whose norms are small; use fixed clipping",
    DifferentialPrivacyClientSideFixedClipping: "it counts single replies; put it around SecureAggregation, not inside",
}
"""Strategies of Flower that no sum can serve (Krum is a MultiKrum), and why."""


class SecureAggregation(Strategy):
    """Runs another strategy whose server learns, of each round's updates, their weighted mean alone.

    The wrapped strategy samples nodes and makes the train messages as ever. Clients (with `secagg_mod`) answer them
    inside a secure sum, and the wrapped strategy's `aggregate_train` gets one reply: the model plus the weighted
    mean update, the total weight, and the means of the named metrics. What it makes of that mean is its own.

    A round takes one trip for each phase of the scheme, where plain FedAvg takes one. The keys of a round ride on the
    last reply of the round before, which saves the first of them: a steady round of "secagg" and "secagg+" takes two
    more than plain FedAvg. Where too many of the sampled nodes have no keys ready, as in the first round, those nodes
    are asked on a trip of its own; few are left to the next round (`max_late`).

    A node lost at any trip is survived. Where too few are left, the round is reported and skipped: the wrapped
    strategy gets no replies and the model stays. Evaluation is not touched: the metrics that clients reply to evaluate
    messages travel in clear. The mod refuses replies with an ArrayRecord; lists in metrics and bytes in configuration
    pass.

    Args:
        strategy: any that needs no single updates.
        weight_max: public bound of the weights (say, no hospital has more training examples), or None for an
            unweighted mean. Never the cohort's own maximum. The error bound grows with weight_max / mean weight.
        scheme: a key of `PROTOCOLS`, or a scheme that `SecAggMod(scheme=...)` is given too.
        options: of the protocol's factory, such as {"threshold": 7}; for a name only.
        bits: of each quantized entry, 2..32.
        rounding: of each entry, "stochastic" (unbiased: small updates add up over clients and rounds) or "nearest"
            (half the error bound, but what is less than half a step vanishes in every round).
        clip: bound of the updates' (not the weights') entries: one number or {array name: clip, "*": clip}.
            Larger entries are clipped and counted (`Outcome.saturated`). The clip of integer
            arrays is 4095 or a fraction more (2**(bits-1) - 1 with fewer than 13 bits) unless they are named.
        metrics: {name: clip} of the reply's metrics to average inside the sum; others never leave the client.
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

    outcomes: dict[int, Outcome]
    _run: Run
    _counters: frozenset[str]
    _precision: Precision
    _met: bool

    def __init__(
        self,
        strategy: Strategy,
        weight_max: int | None,
        *,
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
        numbers = Numbers(bits, clip, weight_max, dict(metrics or {}), rounding)
        numbers.check()
        inner = str(getattr(strategy, "weighted_by_key", weighted_by_key or "num-examples"))
        weighted_by = weighted_by_key or inner
        for key in (weighted_by, inner):
            if key in numbers.metrics:
                raise ConfigError(f"metric {key!r} is the weight, which is summed anyway")
        self._total_key = inner
        self._plan = Plan(Offer(scheme, dict(options or {})), numbers, weighted_by, roster, entropy)
        self._min_cohort = Policy(min_cohort=min_cohort).min_cohort
        self._late = Lateness(max_late, max(self._min_cohort, int(getattr(strategy, "min_train_nodes", 0))))
        self._phase_timeout = phase_timeout
        if phase_timeout is not None and not phase_timeout > 0:
            raise OutOfRange(f"phase_timeout is {phase_timeout}: expected seconds, more than 0")
        self._timeout: float | None = None
        self._last: int | None = None  # unknown where a strategy around this one starts
        self._grid: Grid | None = None
        self._round: SecureRound | None = None
        self._begin()

    def _begin(self) -> None:
        """A run: nothing known of an earlier one."""
        self.outcomes = {}
        self._run = Run(self._plan.entropy, log)
        self._counters = frozenset()
        self._precision = Precision(self._plan.numbers)
        self._met = False

    def __repr__(self) -> str:
        return f"SecureAggregation({type(self.strategy).__name__}, scheme={self._plan.offer.name!r})"

    def summary(self) -> None:
        """Log what is summed and how, then the wrapped strategy's summary."""
        log.info("\t├──> Secure aggregation:")
        numbers = self._plan.numbers
        log.info("\t│\t├── Scheme: %s", self._plan.offer.name)
        log.info("\t│\t├── Bits: %d, %s rounding | clip: %s", numbers.bits, numbers.rounding, numbers.clip)
        log.info("\t│\t└── Weighted by: '%s', at most %s", self._plan.weighted_by, numbers.weight_max)
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
        self._grid, self._round = grid, None
        messages = list(self.strategy.configure_train(server_round, arrays, config, grid))
        if not messages:
            return []
        if len(messages) < self._min_cohort:
            why = f"{len(messages)} nodes sampled, {self._min_cohort} needed (see the strategy's min_train_nodes)"
            self._skip(server_round, why)
            return []
        self._round = self._opened(server_round, messages)
        try:
            self._round.request(grid)
            self._round.advance(grid, self._trip_timeout)
        except ProtocolError as error:
            self._skip(server_round, str(error))
            return []
        return self._round.asks()

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Run the phases after training, and let the wrapped strategy aggregate the one mean, or nothing."""
        current = self._round
        if current is None or self._grid is None:
            return self.strategy.aggregate_train(server_round, [])
        try:
            current.absorb(replies)
            current.advance(self._grid, self._trip_timeout)
            result = current.protocol.result()
        except ProtocolError as error:
            self._skip(server_round, str(error))
            return self.strategy.aggregate_train(server_round, [])
        self._leave(current)
        self._record(server_round, current, result)
        return self.strategy.aggregate_train(server_round, [self._reply(server_round, current, result)])

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

    def _opened(self, server_round: int, messages: list[Message]) -> SecureRound:
        by_node = {str(message.metadata.dst_node_id): message for message in messages}
        check_alike(messages)
        opening = self._run.begin(last=server_round == self._last)

        def secure_round(cohort: Collection[str], late: Collection[str]) -> SecureRound:
            parted = {node: by_node[node] for node in cohort}, {node: by_node[node] for node in late}
            return SecureRound(self._plan, *parted, self._counters, opening)

        opened = opening.opened(by_node, self._late, secure_round)
        self._counters = opened.protocol.counters
        return opened

    def _leave(self, current: SecureRound) -> None:
        """The round is over; what nodes have prepared until now is for the next."""
        self._round = None
        if self._grid is not None:
            current.collect(self._grid)
        self._met |= current.met
        self._run.keep(current.protocol.prepared)

    def _reply(self, server_round: int, current: SecureRound, result: Aggregate) -> Message:
        """The one reply that the wrapped strategy gets, from the server to itself."""
        metrics = MetricRecord({**result.mean["metrics"], self._total_key: result.weight})
        content = RecordDict({current.array_name: current.moved(result), "metrics": metrics})
        return Message(content, SUPERLINK_NODE_ID, MessageType.TRAIN, group_id=str(server_round))

    def _record(self, server_round: int, current: SecureRound, result: Aggregate) -> None:
        outcome = Outcome.of(result, current.protocol.left_out)
        self.outcomes[server_round] = outcome
        log.info("secure aggregation: sum of %d nodes, %d lost", len(outcome.contributors), len(outcome.lost))
        for node, phase in outcome.lost.items():
            log.warning("secure aggregation: node %s lost at %r %s", node, phase, outcome.misbehaved.get(node, ""))
        for node, why in outcome.accused.items():
            log.warning("secure aggregation: others accuse node %s: %s", node, why)
        if outcome.saturated:
            log.warning("secure aggregation: %d entries of updates were clipped", outcome.saturated)
        coarse = self._precision.warning(outcome)
        if coarse is not None:
            log.warning("secure aggregation: %s", coarse)

    def _skip(self, server_round: int, why: str) -> None:
        """A round without a sum: say so, and go on with the model as it is."""
        current = self._round
        if current is not None:
            self._leave(current)
            if not self._met:
                why = f"{why}; no node has answered yet: is secagg_mod in ClientApp(mods=[...])?"
        self.outcomes[server_round] = Outcome.failed(why, None if current is None else current.protocol.coordinator)
        log.warning("secure aggregation: round %d skipped, the model stays: %s", server_round, why)


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
