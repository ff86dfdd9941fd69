"""The server's end of a training run: its rounds one after the other, and what became of each."""

import logging
from collections.abc import Collection

from secagg.federation.outcome import Outcome, Precision
from secagg.federation.round import Plan, Round
from secagg.federation.run import Run
from secagg.federation.update import Model


class Server:
    """Opens each round over those that the framework sampled, and closes it with an `Outcome`.

    Between the two the framework moves `Round.asks` and `Round.requests`, and hands replies to `Round.receive`.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._run = Run(plan.entropy, plan.say)
        self._counters: frozenset[str] = frozenset()
        self._precision = Precision(plan.encoding)

    def open(self, sampled: Collection[str], model: Model, last: bool = False) -> Round:
        """The next round; `last` where the run ends with it. Raises ConfigError for what no sum can serve."""
        start, model = self._run.begin(last), model.after(self._counters)
        current = start.opened(
            sampled, self._plan.late, lambda cohort, late: Round(self._plan, cohort, model, start, late)
        )
        self._counters = model.counters
        return current

    def close(self, number: int, current: Round | None, failure: str | None = None) -> Outcome:
        """How the framework's round `number` went, logged; what parties have prepared until now is for the next.

        Args:
            current: None where too few were sampled to begin one.
            failure: why there is no sum; None where there is one.
        """
        if current is not None:
            self._run.keep(current.prepared)
        if failure is None and current is not None:
            outcome = Outcome.of(current)
            coarse = self._precision.warning(outcome)
        else:
            outcome, coarse = Outcome.failed(str(failure), current), None
        lines = [*outcome.lines(number, self._plan.party), *([] if coarse is None else [(logging.WARNING, coarse)])]
        for level, text in lines:
            self._plan.say(level, f"secure aggregation: {text}")
        return outcome
