"""The server's end of a training run: its rounds one after the other, and what became of each."""

import logging
from collections.abc import Collection, Mapping

from secagg.errors import PartyId
from secagg.federation.outcome import Outcome, coarse
from secagg.federation.round import Plan, Round, RoundStart
from secagg.federation.update import Model
from secagg.scheme.session import RUN_SIZE


class Server:
    """Opens each round over those that the framework sampled, and closes it with an `Outcome`.

    Between the two the framework moves `Round.asks` and `Round.requests`, and hands replies to `Round.receive`. Lives
    as long as the server's process: after a restart there is another run, and parties send their keys anew.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._run = plan.entropy(RUN_SIZE)
        self._next = 0
        self._prepared: Mapping[PartyId, bytes] = {}
        self._counters: frozenset[str] = frozenset()
        self._told = False

    def open(self, sampled: Collection[str], model: Model, last: bool = False) -> Round:
        """The next round; `last` where the run ends with it. Raises ConfigError for what no sum can serve."""
        start, model = RoundStart(self._run, self._next, self._prepared, last), model.after(self._counters)
        # Whatever becomes of it, neither its number nor what was prepared for it serves again.
        self._next, self._prepared = self._next + 1, {}
        current = start.opened(
            sampled, self._plan.late, lambda cohort, late: Round(self._plan, cohort, model, start, late)
        )
        self._tell_counters(model)
        return current

    def _tell_counters(self, model: Model) -> None:
        """Say, the first time, which arrays are taken for counters; they are known from then on."""
        unnamed = sorted(model.counters - self._counters - set(self._plan.encoding.named))
        self._counters = model.counters
        if unnamed:
            self._plan.say(
                logging.INFO,
                f"secure aggregation: {', '.join(unnamed)}: integers, averaged as counters; "
                "weights have to start as floats",
            )

    def close(self, number: int, current: Round | None, failure: str | None = None) -> Outcome:
        """How the framework's round `number` went, logged; what parties have prepared until now is for the next.

        Args:
            current: None where too few were sampled to begin one.
            failure: why there is no sum; None where there is one.
        """
        if current is not None:
            self._prepared = current.prepared  # the next round's `Coordinator` checks it
        if failure is None and current is not None:
            outcome = Outcome.of(current)
        else:
            outcome = Outcome.failed(str(failure), current)
        for level, text in outcome.lines(number, self._plan.party):
            self._plan.say(level, f"secure aggregation: {text}")
        advice = None
        if failure is not None and current is not None:
            advice = self._plan.choice.advice(len(current.coordinator.session.parties), len(outcome.lost))
        if advice is not None:
            self._plan.say(logging.WARNING, f"secure aggregation: {advice}")
        why = None if self._told or outcome.failure is not None else coarse(self._plan.encoding, outcome)
        if why is not None:
            self._told = True  # once a run
            self._plan.say(logging.WARNING, f"secure aggregation: {why}")
        return outcome
