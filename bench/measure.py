"""Times of work, taken so that the noise of a shared machine shows in the spread and not in a ratio."""

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from math import ceil
from timeit import timeit
from typing import Any, NamedTuple

from bench.results import Row, row

Work = Callable[[], object]
Tell = Callable[[str], None]
"""Called with what is being done, for the progress bar."""
LEAST = 2e-3
"""Seconds of one measurement: shorter work is done several times in a row, so that it finds its caches warm."""


class Job(NamedTuple):
    """One step of a suite: its name for the progress bar, and what does it and returns its rows."""

    name: str
    work: Callable[[Tell], list[Row]]


class Trial(NamedTuple):
    """Work to be timed, and `what`, `case` and `figures` of the row that it becomes; `each` pieces of it in a call."""

    what: str
    case: dict[str, Any]
    work: Work
    figures: Mapping[str, float] = {}
    each: int = 1


def trial(what: str, work: Work, figures: Mapping[str, float] = {}, /, **case: Any) -> Trial:
    """A `Trial` whose case is told by name."""
    return Trial(what, case, work, figures)


def side_by_side(trials: Sequence[Trial], runs: int, *, warm: bool = True) -> list[Row]:
    """Run all trials in turn, `runs` times over: what slows the machine for a while slows each of them alike.

    Two turns before, not counted, compile, load and tell how often short work has to be done at a time. Work that is
    long may do without them: `warm=False`.
    """
    calls = [1] * len(trials)
    if warm:
        for trial in trials:
            trial.work()
        calls = [max(1, ceil(LEAST / timeit(trial.work, number=1))) for trial in trials]
    seconds: list[list[float]] = [[] for _ in trials]
    gc.collect()  # `timeit` keeps the collector from striking whoever happens to run
    for _ in range(runs):
        for taken, trial, times in zip(seconds, trials, calls, strict=True):
            taken.append(timeit(trial.work, number=times) / times / trial.each)
    return [row(one.what, one.case, taken, **one.figures) for one, taken in zip(trials, seconds, strict=True)]


def compared(
    name: str, trials: Callable[[], Iterable[Trial]], runs: int, *, warm: bool = True, threads: int | None = None
) -> Job:
    """A job of trials `side_by_side`, which are made when its turn comes; on so many threads, or as the trials like."""

    def work(_tell: Tell) -> list[Row]:
        with nullcontext() if threads is None else on_threads(threads):
            return side_by_side(list(trials()), runs, warm=warm)

    return Job(name, work)


@contextmanager
def without_collector() -> Iterator[None]:
    """Python's cyclic garbage collector, which would strike whoever happens to run, waits."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Kernels use at most so many threads, as SECAGG_THREADS has it; afterwards as many as before."""
    before = os.environ.get("SECAGG_THREADS")
    os.environ["SECAGG_THREADS"] = str(count)
    try:
        yield
    finally:
        del os.environ["SECAGG_THREADS"]
        if before is not None:
            os.environ["SECAGG_THREADS"] = before
