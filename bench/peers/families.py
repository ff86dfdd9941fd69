"""Every protocol on the same work: one round of `secagg.aggregate`, seconds by role, bytes by direction."""

from collections import defaultdict
from statistics import median

from bench.measure import Times, on_threads, without_collector
from bench.options import Tell
from bench.replay import update_of
from bench.results import Row, row
from secagg import aggregate
from secagg_protocols import PROTOCOLS

RUNS = 5


def rows(clients: int, dim: int, tell: Tell) -> list[Row]:
    """One row a protocol and role. Clients' are the median client's of each phase, added up; bytes are one client's
    uploads, or all that the server sends.
    """
    updates = dict.fromkeys(range(clients), update_of(dim))
    made = []
    for name, factory in PROTOCOLS.items():
        tell(f"{name}: a round")
        aggregate(dict.fromkeys(range(4), update_of(64)), factory(4), bits=16)  # compiles, loads
        seconds: defaultdict[str, list[float]] = defaultdict(list)
        sent: defaultdict[str, list[float]] = defaultdict(list)
        for _ in range(RUNS):
            with without_collector(), on_threads(1):
                out = aggregate(updates, factory(clients), bits=16)
            for role in ("client", "server"):
                seconds[role].append(sum(took for (_, of), took in out.seconds.items() if of == role))
                sent[role].append(sum(size for (_, of), size in out.traffic.items() if of == role))
        for role, taken in seconds.items():
            case = {"by": name, "role": role, "clients": clients, "dim": dim}
            made.append(row("family", case, Times(tuple(taken)), bytes=median(sent[role])))
    return made
