"""One phase, one role: seconds and bytes, and where they go.

`python -m bench handlers --protocol secagg+ --clients 100 --neighbours 30 --dim 100000 --lost 20` measures one cohort.
"""

from functools import partial
from statistics import median

from bench.measure import Times, without_collector
from bench.options import Job, Options, Tell
from bench.parts import Parts
from bench.replay import Cohort, Replay, Trace, replay, update_of
from bench.results import Row, row
from secagg import Session
from secagg.errors import ConfigError

COHORTS: tuple[Cohort, ...] = (Cohort(100, 100_000, 30, 20), Cohort(100, 100_000, None, 20))
RUNS = 5
UPLOAD_PARTIES, UPLOAD_DIM = 1 << 10, 1 << 20


def jobs(options: Options) -> list[Job]:
    """The suite's steps."""
    cohorts, runs = COHORTS, RUNS
    if options.quick:
        cohorts, runs = (Cohort(12, 1000, 6, 2), Cohort(6, 1000, None, 1)), 2
    if options.is_one_case:
        cohorts = (chosen(options, COHORTS[0]),)
    found = [Job(f"phases of {title(cohort)}", partial(phases, cohort, runs)) for cohort in cohorts]
    if options.is_one_case:
        return found
    upload = (20, 1000) if options.quick else (UPLOAD_PARTIES, UPLOAD_DIM)
    return [*found, Job("upload of a masked vector", partial(_upload, *upload))]


def chosen(options: Options, standard: Cohort) -> Cohort:
    """The cohort that the options name; what they leave open is as in `standard`."""
    if options.protocol == "paillier":
        raise ConfigError("this suite replays pairwise masking; paillier is measured by `python -m bench peers`")
    clients = options.clients or standard.clients
    neighbours = options.neighbours or (standard.neighbours if options.protocol != "secagg" else None)
    lost = standard.lost * clients // standard.clients if options.lost is None else options.lost
    return Cohort(clients, options.dim or standard.dim, neighbours if options.protocol != "secagg" else None, lost)


def title(cohort: Cohort) -> str:
    """The cohort in a few words."""
    kind = "SecAgg" if cohort.neighbours is None else f"SecAgg+ k = {cohort.neighbours}"
    return f"{kind}, n = {cohort.clients}, dim {cohort.dim}, {cohort.lost} lost"


def phases(cohort: Cohort, runs: int, tell: Tell) -> list[Row]:
    """Rows of each phase and role over `runs` rounds, and of the parts of one round more."""
    replay(Cohort(4, 16), tell)  # compiles, loads
    with without_collector():
        traces = [replay(cohort, tell) for _ in range(runs)]
        with Parts() as parts:
            replay(cohort, tell, parts)
    return [*phase_rows(cohort, traces), *part_rows(cohort, parts)]


def phase_rows(cohort: Cohort, traces: list[Trace]) -> list[Row]:
    """One row a phase and role. A client's times are those of all clients of all rounds."""
    rows = []
    for phase in traces[0].server:
        client = Times(tuple(seconds for trace in traces for seconds in trace.client[phase]))
        server = Times(tuple(trace.server[phase] for trace in traces))
        replied = [size for trace in traces for size in trace.replied[phase]]
        case = cohort.case | {"phase": phase}
        rows.append(row("phase", case | {"role": "client"}, client, bytes=median(replied)))
        rows.append(row("phase", case | {"role": "server"}, server, bytes=traces[0].asked[phase]))
    return rows


def part_rows(cohort: Cohort, parts: Parts) -> list[Row]:
    """One row a part, summed over all clients, or for the server."""
    return [
        row("part", cohort.case | {"phase": phase, "role": role, "part": part}, Times((seconds,)))
        for (phase, role, part), seconds in sorted(parts.busy.items())
    ]


def _upload(parties: int, dim: int, tell: Tell) -> list[Row]:
    """What one client uploads: the round goes as far as the first masked vector."""
    cohort = Cohort(parties, dim, 4)
    session = Session.create(range(parties), update_of(dim), bits=16)
    round_ = Replay(cohort.scheme, session, 0, tell)
    seconds, size = round_.first_upload()
    exact = session.ring.bits * dim / 8
    figures = {"bytes": size, "ring bits": session.ring.bits, "over": size / exact - 1}
    return [row("upload", cohort.case, Times((seconds,)), **figures)]
