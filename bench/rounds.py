"""Whole rounds: how the cost of each end grows with clients, entries, neighbours and losses; the server's memory.

`python -m bench rounds --protocol secagg --clients 500 --dim 100000 --lost 150` runs one round.
"""

from collections.abc import Iterator
from functools import partial
from statistics import median

from bench import memory, start
from bench.handlers import chosen, family_of, part_rows, title
from bench.measure import Times, without_collector
from bench.options import Job, Options, Tell
from bench.parts import Parts
from bench.replay import CIPHERTEXTS, MASKS, Cohort, Trace, replay, warm
from bench.results import Row, row

LARGE: tuple[Cohort, ...] = (
    Cohort(500, 100_000, None, 150),
    Cohort(1000, 1 << 20, 102, 300),
    Cohort(16, 100_000, lost=3, family="paillier"),
    Cohort(100, 100_000, lost=20, family="ckks"),
)
TINY = (
    Cohort(20, 1000, None, 6),
    Cohort(30, 4000, 8, 6),
    Cohort(5, 100, lost=1, family="paillier"),
    Cohort(8, 100, lost=2, family="ckks"),
)
MEMORY: tuple[Cohort, ...] = (Cohort(100, 1 << 20, 30), Cohort(1000, 1 << 20, 30))
STANDARD, SMALL = Cohort(100, 10_000, 30, 20), Cohort(16, 10_000, lost=3)
"""One round, of masks and of ciphertexts."""
RUNS = 3


def jobs(options: Options) -> list[Job]:
    """The suite's steps."""
    if options.is_one_case:
        cohort = chosen(options, STANDARD if family_of(options) == MASKS else SMALL)
        return [Job(title(cohort), partial(large, "round", cohort, RUNS))]
    larges, memories, runs = LARGE, MEMORY, RUNS
    if options.quick:
        larges, memories, runs = TINY, (Cohort(8, 1000, 4),), 1
    found = [Job(f"by {axis}: {title(c)}", partial(growth, axis, c, runs)) for axis, c in axes(options.quick)]
    found += [Job(title(cohort), partial(large, "large round", cohort, 1)) for cohort in larges]
    found += [Job(f"server's memory, {title(cohort)}", partial(_memory, cohort)) for cohort in memories]
    return [*found, Job("warm start", partial(_start, 2 if options.quick else 7))]


def axes(quick: bool) -> Iterator[tuple[str, Cohort]]:
    """(what grows, cohort) of every point of every curve."""
    yield from _axes_of_masks(quick)
    for family in CIPHERTEXTS:
        yield from _axes_of_ciphertexts(family, quick)


def _axes_of_masks(quick: bool) -> Iterator[tuple[str, Cohort]]:
    sizes = (8, 16) if quick else (50, 100, 200, 400)
    for clients in sizes:
        yield "clients, SecAgg", Cohort(clients, 1000 if quick else 10_000, None, clients // 5)
    for clients in (8, 16) if quick else (50, 100, 200, 400, 800):
        yield "clients, SecAgg+", Cohort(clients, 1000 if quick else 10_000, 4 if quick else 30, clients // 5)
    for power in (8, 10) if quick else (12, 14, 16, 18, 20):
        yield "entries", Cohort(8 if quick else 50, 1 << power, 4 if quick else 20, 1 if quick else 10)
    for neighbours in (4, 6) if quick else (10, 20, 40, 80):
        yield "neighbours", Cohort(10 if quick else 100, 1000 if quick else 100_000, neighbours, 1 if quick else 20)
    for lost in (1, 2) if quick else (5, 10, 20, 40):
        yield "losses", Cohort(10 if quick else 100, 1000 if quick else 100_000, 6 if quick else 50, lost)


def _axes_of_ciphertexts(family: str, quick: bool) -> Iterator[tuple[str, Cohort]]:
    name, dim = CIPHERTEXTS[family], 100 if quick else {"paillier": 1000, "ckks": 10_000}[family]
    for clients in (5, 8) if quick else (25, 50, 100, 200):
        yield f"clients, {name}", Cohort(clients, dim, lost=clients // 5, family=family)
    if quick:  # a Paillier key takes a second, whatever the sizes
        return
    for power in {"paillier": (10, 12, 14, 16), "ckks": (12, 14, 16, 18, 20)}[family]:
        yield f"entries, {name}", Cohort(8, 1 << power, lost=1, family=family)
    for lost in (5, 10, 20, 40):
        yield f"losses, {name}", Cohort(100, dim, lost=lost, family=family)


def growth(axis: str, cohort: Cohort, runs: int, tell: Tell) -> list[Row]:
    """A point of the curve named `axis`."""
    warm(cohort.family)
    with without_collector():
        traces = [replay(cohort, tell) for _ in range(runs)]
    return [_round_row(f"growth by {axis}", cohort, traces)]


def large(what: str, cohort: Cohort, runs: int, tell: Tell) -> list[Row]:
    """A round with its parts; `runs` times, and once more with stopwatches in it."""
    warm(cohort.family)
    with without_collector():
        traces = [replay(cohort, tell) for _ in range(runs)]
        with Parts() as parts:
            replay(cohort, tell, parts)
    return [_round_row(what, cohort, traces), *part_rows(cohort, parts)]


def _round_row(what: str, cohort: Cohort, traces: list[Trace]) -> Row:
    """Seconds of the server; figures by phase: of the server, and of the median party of the phase's role."""
    figures = {}
    for phase in traces[0].server:
        figures[f"server {phase}"] = median(trace.server[phase] for trace in traces)
        figures[f"server cpu {phase}"] = median(trace.server_cpu[phase] for trace in traces)
        figures[f"server thread {phase}"] = median(trace.server_thread[phase] for trace in traces)
        figures[f"{traces[0].roles[phase]} {phase}"] = median(
            seconds for trace in traces for seconds in trace.client[phase]
        )
        figures[f"bytes up {phase}"] = median(size for trace in traces for size in trace.replied[phase])
        figures[f"bytes down {phase}"] = traces[0].asked[phase]
    figures["server cpu"] = median(sum(trace.server_cpu.values()) for trace in traces)
    figures["server thread"] = median(sum(trace.server_thread.values()) for trace in traces)
    figures["client"] = median(trace.client_seconds for trace in traces)
    if any(trace.holder_seconds for trace in traces):
        figures["holder"] = median(trace.holder_seconds for trace in traces)
    return row(what, cohort.case, Times(tuple(trace.server_seconds for trace in traces)), **figures)


def _memory(cohort: Cohort, tell: Tell) -> list[Row]:
    before, after = memory.peaks(cohort, tell)
    return [row("memory", cohort.case, Times((0.0,)), before=before, after=after)]


def _start(runs: int, _tell: Tell) -> list[Row]:
    return [row("start", {"of": name}, times) for name, times in start.warm(runs).items()]
