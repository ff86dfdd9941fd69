"""Whole rounds (suite `rounds`) and their phases one by one (suite `handlers`), in this process; all checked.

`python -m bench rounds --protocol secagg --clients 500 --dim 100000 --lost 150` runs one round, `python -m bench
handlers` with such options its phases; `--protocol paillier` and `--protocol ckks` the standard ones of theirs.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from statistics import median

import numpy as np
from msgspec.structs import replace

from bench.cohorts import MASKS, TABLES, Cohort, Options, tiny
from bench.machine import ROOT
from bench.measure import Job, Tell, Trial, side_by_side, without_collector
from bench.replay import Replay, Trace, replay, warm
from bench.results import Row, row
from secagg.spans import Listener

RUNS = 3
FIRST = """
import numpy as np
import secagg
from secagg_protocols import PairwiseMasking
updates = {i: np.full(1000, i / 10, np.float32) for i in range(10)}
assert len(secagg.aggregate(updates, PairwiseMasking()).contributors) == 10
"""
PROGRAMS = {"first aggregate of 10 x 1000": FIRST, "import secagg": "import secagg", "Python": "pass"}


def handlers(options: Options) -> list[Job]:
    """Phases of each family, and what one client uploads."""
    families = TABLES.families.values()
    chosen = [(family.runs, sized) for family in families for sized in _sized(options, family.phases)]
    if options.is_one_case:
        family = TABLES.families[options.family]
        chosen = [(family.runs, options.cohort(family.phases[0]))]
    jobs = [
        Job(f"phases of {cohort.title}", partial(_phases, cohort, 2 if options.quick else runs))
        for runs, cohort in chosen
    ]
    (upload,) = _sized(options, TABLES.single["upload"])
    return jobs if options.is_one_case else [*jobs, Job("upload of a masked vector", partial(_upload, upload))]


def rounds(options: Options) -> list[Job]:
    """How the cost of each end grows with clients, entries, neighbours and losses; large rounds; memory; start."""
    quick, runs = options.quick, 1 if options.quick else RUNS
    if options.is_one_case:
        cohort = options.cohort(replace(TABLES.families[options.family].phases[0], dim=10_000))
        return [Job(cohort.title, partial(_large, "round", cohort, RUNS))]
    jobs = [
        Job(f"by {axis.name}: {cohort.title}", partial(_growth, f"growth by {axis.name}", cohort, runs))
        for growth in TABLES.growth.values()
        for axis in growth.axes
        if not quick or axis.x == "clients" or axis.base.family == MASKS  # a Paillier key takes a second
        for cohort in axis.cohorts(quick)
    ]
    larges = [cohort for family in TABLES.families.values() for cohort in _sized(options, family.large)]
    jobs += [Job(cohort.title, partial(_large, "large round", cohort, 1)) for cohort in larges]
    memories = _sized(options, TABLES.single["memory"])
    jobs += [Job(f"server's memory, {cohort.title}", partial(_memory, cohort)) for cohort in memories]
    return [*jobs, Job("warm start", partial(_start, 2 if quick else 7))]


def _sized(options: Options, cohorts: Sequence[Cohort]) -> list[Cohort]:
    return list(dict.fromkeys(map(tiny, cohorts))) if options.quick else list(cohorts)


def _phases(cohort: Cohort, runs: int, tell: Tell) -> list[Row]:
    """One row a phase and role, of all who answered in all runs, and the parts of one round more."""
    rows, traces = [], _traces(cohort, runs, tell)
    for phase, role in traces[0].roles.items():
        case = cohort.case | {"phase": phase}
        seconds = [taken for trace in traces for taken in trace.client[phase]]
        replied = median(size for trace in traces for size in trace.replied[phase])
        server = [trace.server[phase][0].item() for trace in traces]
        rows.append(row("phase", case | {"role": role}, seconds, bytes=replied))
        rows.append(row("phase", case | {"role": "server"}, server, bytes=traces[0].asked[phase]))
    return [*rows, *_parts(cohort, tell)]


def _upload(cohort: Cohort, tell: Tell) -> list[Row]:
    """What one client uploads: the round goes as far as the first masked vector."""
    started = Replay(cohort, tell)
    seconds, size = started.first_upload()
    bits = started.session.ring.bits
    figures = {"bytes": size, "ring bits": bits, "over": size / (bits * cohort.dim / 8) - 1}
    return [row("upload", cohort.case, [seconds], **figures)]


def _growth(what: str, cohort: Cohort, runs: int, tell: Tell) -> list[Row]:
    """Seconds of the server; figures by phase: of the server, and of the median party of the phase's role."""
    traces, figures = _traces(cohort, runs, tell), {}
    for phase, role in traces[0].roles.items():
        for place, clock in enumerate(("server", "server cpu", "server thread")):
            figures[f"{clock} {phase}"] = median(trace.server[phase][place].item() for trace in traces)
        figures[f"{role} {phase}"] = median(taken for trace in traces for taken in trace.client[phase])
        figures[f"bytes up {phase}"] = median(size for trace in traces for size in trace.replied[phase])
        figures[f"bytes down {phase}"] = traces[0].asked[phase]
    server, cpu, thread = np.sum([list(trace.server.values()) for trace in traces], axis=1).T.tolist()
    figures |= {"server cpu": median(cpu), "server thread": median(thread)}
    figures["client"] = median(trace.seconds_of(clients=True) for trace in traces)
    if any(role != "client" for role in traces[0].roles.values()):
        figures["holder"] = median(trace.seconds_of(clients=False) for trace in traces)
    return [row(what, cohort.case, server, **figures)]


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
    sizes = {"clients": cohort.clients, "dim": cohort.dim, "neighbours": cohort.neighbours, "dropout": 0}
    command = [sys.executable, "-m", "bench.load", "--json", *(f"--{name}={size}" for name, size in sizes.items())]
    load = json.loads(subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE).stdout)
    after = load["server_peak"]
    return [row("memory", cohort.case, [0.0], before=after - load["server_bytes"], after=after)]


def _start(runs: int, _tell: Tell) -> list[Row]:
    """How long a fresh process takes to its first aggregate; a first run fills the cache of kernels on disk."""

    def fresh(program: str) -> None:
        subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)

    return side_by_side([Trial("start", {"of": name}, partial(fresh, text)) for name, text in PROGRAMS.items()], runs)
