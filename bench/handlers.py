"""One phase, one role: seconds and bytes, and where they go.

`python -m bench handlers --protocol secagg+ --clients 100 --neighbours 30 --dim 100000 --lost 20` measures one cohort,
`--protocol paillier` and `--protocol ckks` the standard one of theirs.
"""

from functools import partial
from statistics import median

from bench.measure import Times, without_collector
from bench.options import Job, Options, Tell
from bench.parts import Parts
from bench.replay import FAMILIES, MASKS, Cohort, Replay, Trace, replay, update_of, warm
from bench.results import Row, row, title_of
from secagg import Session

COHORTS: tuple[Cohort, ...] = (
    Cohort(100, 100_000, 30, 20),
    Cohort(100, 100_000, None, 20),
    Cohort(16, 100_000, lost=3, family="paillier"),
    Cohort(16, 100_000, lost=3, family="ckks"),
)
TINY = (
    Cohort(12, 1000, 6, 2),
    Cohort(6, 1000, None, 1),
    Cohort(5, 100, lost=1, family="paillier"),
    Cohort(5, 100, lost=1, family="ckks"),
)
RUNS = {MASKS: 5, "paillier": 3, "ckks": 5}
UPLOAD_PARTIES, UPLOAD_DIM = 1 << 10, 1 << 20


def jobs(options: Options) -> list[Job]:
    """The suite's steps."""
    cohorts = COHORTS
    if options.quick:
        cohorts = TINY
    if options.is_one_case:
        family = family_of(options)
        cohorts = (chosen(options, next(cohort for cohort in COHORTS if cohort.family == family)),)
    runs = dict.fromkeys(FAMILIES, 2) if options.quick else RUNS
    found = [Job(f"phases of {title(cohort)}", partial(phases, cohort, runs[cohort.family])) for cohort in cohorts]
    if options.is_one_case:
        return found
    upload = (20, 1000) if options.quick else (UPLOAD_PARTIES, UPLOAD_DIM)
    return [*found, Job("upload of a masked vector", partial(_upload, *upload))]


def family_of(options: Options) -> str:
    """That of the protocol that the options name."""
    return options.protocol if options.protocol in FAMILIES else MASKS


def chosen(options: Options, standard: Cohort) -> Cohort:
    """The cohort that the options name; what they leave open is as in `standard`."""
    clients, family = options.clients or standard.clients, family_of(options)
    neighbours = options.neighbours or standard.neighbours
    if options.protocol == "secagg" or family != MASKS:
        neighbours = None
    lost = standard.lost * clients // standard.clients if options.lost is None else options.lost
    return Cohort(clients, options.dim or standard.dim, neighbours, lost, family=family)


def title(cohort: Cohort) -> str:
    """The cohort in a few words."""
    return title_of(cohort.case)


def phases(cohort: Cohort, runs: int, tell: Tell) -> list[Row]:
    """Rows of each phase and role over `runs` rounds, and of the parts of one round more."""
    warm(cohort.family)
    with without_collector():
        traces = [replay(cohort, tell) for _ in range(runs)]
        with Parts() as parts:
            replay(cohort, tell, parts)
    return [*phase_rows(cohort, traces), *part_rows(cohort, parts)]


def phase_rows(cohort: Cohort, traces: list[Trace]) -> list[Row]:
    """One row a phase and role. A party's times are those of all who answered in all rounds."""
    rows = []
    for phase in traces[0].server:
        client = Times(tuple(seconds for trace in traces for seconds in trace.client[phase]))
        server = Times(tuple(trace.server[phase] for trace in traces))
        replied = [size for trace in traces for size in trace.replied[phase]]
        case = cohort.case | {"phase": phase}
        rows.append(row("phase", case | {"role": traces[0].roles[phase]}, client, bytes=median(replied)))
        rows.append(row("phase", case | {"role": "server"}, server, bytes=traces[0].asked[phase]))
    return rows


def part_rows(cohort: Cohort, parts: Parts) -> list[Row]:
    """One row a part, summed over all parties of a role, or for the server."""
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
