"""Times of work, taken so that the noise of a shared machine shows in the spread and not in a ratio."""

import gc
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from statistics import median, quantiles
from time import perf_counter

Work = Callable[[], object]


@dataclass(frozen=True)
class Times:
    """Wall times of the same work.

    Attributes:
        seconds: one a run, in the order of the runs.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Half of the runs took longer."""
        return median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Where the middle half of the runs begins and ends; of fewer than four runs, the ends of all."""
        if len(self.seconds) < 4:
            return min(self.seconds), max(self.seconds)
        low, _, high = quantiles(self.seconds, n=4, method="inclusive")
        return low, high


LEAST = 2e-3
"""Seconds of one measurement: shorter work is done several times in a row, so that it finds its caches warm."""


def side_by_side(works: Mapping[str, Work], runs: int) -> dict[str, Times]:
    """Run all `works` in turn, `runs` times over: what slows the machine for a while slows each of them alike.

    Two turns before, not counted, compile, load and tell how often short work has to be done at a time.
    """
    for work in works.values():
        work()
    calls = {name: max(1, ceil(LEAST / timed(work, 1))) for name, work in works.items()}
    seconds: dict[str, list[float]] = {name: [] for name in works}
    with without_collector():
        for _ in range(runs):
            for name, work in works.items():
                seconds[name].append(timed(work, calls[name]))
    return {name: Times(tuple(taken)) for name, taken in seconds.items()}


def timed(work: Work, calls: int) -> float:
    """Seconds of one call, from `calls` in a row."""
    start = perf_counter()
    for _ in range(calls):
        work()
    return (perf_counter() - start) / calls


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
        if before is None:
            del os.environ["SECAGG_THREADS"]
        else:
            os.environ["SECAGG_THREADS"] = before
