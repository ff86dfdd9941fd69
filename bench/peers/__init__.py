"""The same work by others, in the same process, on the same inputs: Flower's SecAgg+, plain FedAvg, generators, phe,
CKKS as NVFLARE uses it; and all protocols of ours beside each other.

`python -m bench peers --clients 100 --neighbours 30 --dim 100000 --lost 29` measures one cohort,
`python -m bench peers --protocol paillier` Paillier sums, `--protocol ckks` CKKS sums.
"""

from functools import partial
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from typing import TYPE_CHECKING

from bench.handlers import chosen, title
from bench.measure import Times, side_by_side
from bench.options import Job, Options, Tell
from bench.peers import families, fedavg
from bench.peers.generators import MT19937, OPENSSL, PCG64, streams
from bench.replay import Cohort, Trace, replay, update_of, warm
from bench.results import Row, row
from secagg.errors import ConfigError

if TYPE_CHECKING:
    from bench.peers import flower

PAILLIER_DIM = 1_000_000
STANDARD = Cohort(100, 100_000, 30, 29, threshold=21)
WORK, SMALL = (16, 100_000), (4, 100)
"""(clients, entries) on which families of protocols are compared."""
OURS = 3  # rounds of ours before Flower's one, and as many after it
STAGE_OF = {"keys": "setup", "shares": "share_keys", "masked": "collect_masked_vectors", "unmask": "unmask"}


def jobs(options: Options) -> list[Job]:
    """The suite's steps. Raises ConfigError where Flower is not installed and needed."""
    paillier = _paillier(options)
    if options.protocol == "paillier":
        return paillier
    work = SMALL if options.quick else WORK
    ckks = Job("CKKS by others", partial(_ckks, *work))
    if options.protocol == "ckks":
        return [ckks]
    if find_spec("flwr") is None:
        raise ConfigError("flwr is not installed: `make bench` and `make bench-quick` install it")
    cohort = Cohort(10, 1000, 4, 2, threshold=3) if options.quick else STANDARD
    if options.is_one_case:
        cohort = chosen(options, STANDARD)
    return [
        Job(f"Flower and ours, {title(cohort)}", partial(_flower, cohort)),
        Job("plain FedAvg", partial(_fedavg, cohort)),
        Job("generators", partial(_generators, cohort.dim)),
        ckks,
        Job("all protocols", partial(families.rows, *work)),
        *([] if options.is_one_case else paillier),
    ]


def _paillier(options: Options) -> list[Job]:
    dim = options.dim or (2000 if options.quick else PAILLIER_DIM)
    return [*import_module("bench.peers.paillier").jobs(dim, options.quick)]  # which imports phe and gmpy2


def _flower(cohort: Cohort, tell: Tell) -> list[Row]:
    """Both protocols with the same graph, threshold, losses and update; the means must agree."""
    flower = import_module("bench.peers.flower")  # which imports Flower
    warm(cohort.family)
    case = cohort.case
    degree, threshold = int(case["neighbours"]), int(case["threshold"])
    before = [replay(cohort, tell) for _ in range(OURS)]
    theirs = flower.run(update_of(cohort.dim), cohort.clients, degree, threshold, cohort.lost, tell)
    ours = before + [replay(cohort, tell) for _ in range(OURS)]
    flower.check(theirs, update_of(cohort.dim))
    return [*_rows_of_ours(cohort, ours), *_rows_of_flower(cohort, theirs)]


def _rows_of_ours(cohort: Cohort, traces: list[Trace]) -> list[Row]:
    rows = []
    for phase in STAGE_OF:
        case = cohort.case | {"by": "secagg", "phase": phase}
        client = Times(tuple(seconds for trace in traces for seconds in trace.client[phase]))
        replied = median(size for trace in traces for size in trace.replied[phase])
        rows.append(row("peer", case | {"role": "client"}, client, bytes=replied))
        rows.append(row("peer", case | {"role": "server"}, Times(tuple(trace.server[phase] for trace in traces))))
    return rows


def _rows_of_flower(cohort: Cohort, trace: "flower.Trace") -> list[Row]:
    rows = []
    for phase, stage in STAGE_OF.items():
        case = cohort.case | {"by": "Flower", "phase": phase}
        rows.append(row("peer", case | {"role": "client"}, Times(tuple(trace.client[stage])), bytes=trace.reply[stage]))
        rows.append(row("peer", case | {"role": "server"}, Times((trace.server[stage],))))
    return rows


def _ckks(clients: int, dim: int, tell: Tell) -> list[Row]:
    rows: list[Row] = import_module("bench.peers.nvflare").rows(clients, dim, tell)  # which imports TenSEAL
    return rows


def _fedavg(cohort: Cohort, _tell: Tell) -> list[Row]:
    """What the same sum costs a server that sees every update."""
    survivors = cohort.clients - cohort.lost
    times = side_by_side({"plain FedAvg": fedavg.server(update_of(cohort.dim), survivors)}, 7)
    case = cohort.case | {"by": "plain FedAvg", "phase": "all", "role": "server"}
    return [row("peer", case, times["plain FedAvg"], bytes=4.0 * cohort.dim)]


def _generators(dim: int, _tell: Tell) -> list[Row]:
    names = (OPENSSL, PCG64, MT19937)
    times = side_by_side(streams(4 * dim, names), 15)
    return [row("keystream", {"by": name, "dim": dim}, times[name], bytes=4.0 * dim) for name in names]
