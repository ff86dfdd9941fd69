"""Whole rounds (suite `rounds`) and their phases one by one (suite `handlers`), in this process; all checked.

`python -m bench rounds --protocol secagg --clients 500 --dim 100000 --lost 150` runs one round, `python -m bench
handlers` with such options its phases; `--protocol paillier` and `--protocol ckks` the standard ones of theirs.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from msgspec.structs import replace

from bench.cohorts import MASKS, TABLES, Cohort, Family, Options, tiny
from bench.machine import ROOT
from bench.measure import Job, Tell, Trial, compared, without_collector
from bench.replay import CLOCKS, Replay, Trace, phase_rows, replay, warm
from bench.results import Row, load, row
from secagg.spans import Listener

RUNS = 3


def handlers(options: Options) -> list[Job]:
    """Phases of each family, and what one client uploads."""

    def phases(family: Family, cohort: Cohort) -> Job:
        return Job(f"phases of {cohort.title}", partial(_phases, cohort, 2 if options.quick else family.runs))

    if options.is_one_case:
        family = TABLES.families[options.family]
        return [phases(family, options.cohort(family.phases[0]))]
    (upload,) = _sized(options, TABLES.single["upload"])
    jobs = [phases(family, cohort) for family in TABLES.families.values() for cohort in _sized(options, family.phases)]
    return [*jobs, Job("upload of a masked vector", partial(_upload, upload))]


def rounds(options: Options) -> list[Job]:
    """How the cost of each end grows with clients, entries, neighbours and losses; large rounds; memory; start."""
    quick, runs = options.quick, 1 if options.quick else RUNS
    if options.is_one_case:
        cohort = options.cohort(replace(TABLES.families[options.family].phases[0], dim=10_000))
        return [Job(cohort.title, partial(_large, "round", cohort, RUNS))]
    jobs = [
        Job(f"by {axis.name}: {cohort.title}", partial(_growth, f"growth by {axis.name}", cohort, runs))
        for axes in TABLES.growth.values()
        for axis in axes
        if not quick or axis.x == "clients" or axis.base.family == MASKS  # a Paillier key takes a second
        for cohort in axis.cohorts(quick)
    ]
    larges = [cohort for family in TABLES.families.values() for cohort in _sized(options, family.large)]
    jobs += [Job(cohort.title, partial(_large, "large round", cohort, 1)) for cohort in larges]
    memories = _sized(options, TABLES.single["memory"])
    jobs += [Job(f"server's memory, {cohort.title}", partial(_memory, cohort)) for cohort in memories]
    return [*jobs, compared("warm start", _starts, 2 if quick else 7)]


def _sized(options: Options, cohorts: Sequence[Cohort]) -> list[Cohort]:
    return list(dict.fromkeys(map(tiny, cohorts))) if options.quick else list(cohorts)


def _phases(cohort: Cohort, runs: int, tell: Tell) -> list[Row]:
    """The phases, and the parts of one round more."""
    return [*phase_rows("phase", cohort.case, _traces(cohort, runs, tell)), *_parts(cohort, tell)]


def _upload(cohort: Cohort, tell: Tell) -> list[Row]:
    """What one client uploads: the round goes as far as the first masked vector."""
    started = Replay(cohort, tell)
    while not started.takes_input:
        started.step()
    size = len(started.answer("masked", *next(iter(started.coordinator.asks().items()))))
    bits = started.session.ring.bits
    figures = {"bytes": size, "ring bits": bits, "over": size / (bits * cohort.dim / 8) - 1}
    return [row("upload", cohort.case, started.trace.client["masked"], **figures)]


def _growth(what: str, cohort: Cohort, runs: int, tell: Tell) -> list[Row]:
    """Seconds of the server; figures by phase: of the server, and of the median party of the phase's role."""
    figures: dict[str, float] = {}
    traces = _traces(cohort, runs, tell)
    for phase, role in traces[0].roles.items():
        clocks = np.median([trace.server[phase] for trace in traces], axis=0).tolist()
        figures |= {f"{clock} {phase}": seconds for clock, seconds in zip(CLOCKS, clocks, strict=True)}
        figures[f"{role} {phase}"] = median(taken for trace in traces for taken in trace.client[phase])
        figures[f"bytes up {phase}"] = median(size for trace in traces for size in trace.replied[phase])
        figures[f"bytes down {phase}"] = traces[0].asked[phase]
    totals = [trace.totals() for trace in traces]
    server = [total.pop("server") for total in totals]
    return [row(what, cohort.case, server, **figures, **{of: median(each[of] for each in totals) for of in totals[0]})]


def _large(what: str, cohort: Cohort, runs: int, tell: Tell) -> list[Row]:
    """A round with its parts; `runs` times, and once more with somebody who listens to its spans."""
    return [*_growth(what, cohort, runs, tell), *_parts(cohort, tell)]


def _traces(cohort: Cohort, runs: int, tell: Tell) -> list[Trace]:
    warm(cohort.family)
    with without_collector():
        return [replay(cohort, tell) for _ in range(runs)]


def _parts(cohort: Cohort, tell: Tell) -> list[Row]:
    """One row a part, summed over all parties of a role, or for the server."""
    with without_collector(), Listener() as heard:
        replay(cohort, tell, heard)
    return [
        row("part", cohort.case | {"phase": phase, "role": role, "part": part}, [seconds])
        for (phase, role, part), seconds in sorted(heard.seconds.items())
    ]


def _memory(cohort: Cohort, tell: Tell) -> list[Row]:
    """Peak resident bytes of a server in a process of its own before a round, and after it."""
    tell("in a process of its own")
    sizes = {"clients": cohort.clients, "dim": cohort.dim, "neighbours": cohort.neighbours, "lost": cohort.lost}
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench", "load", *(f"--{name}={size}" for name, size in sizes.items())]
        subprocess.run([*command, f"--json={folder}/load.json"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        return load(Path(folder))["load"].all("memory")


def _starts() -> Iterator[Trial]:
    """How long a fresh process takes to its first aggregate; a first run fills the cache of kernels on disk."""
    for name, program in TABLES.programs.items():
        command = [sys.executable, "-c", program]
        yield Trial("start", {"of": name}, partial(subprocess.run, command, check=True, cwd=ROOT))
