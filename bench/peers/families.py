"""Every protocol on the same work: one round of `secagg.aggregate`, seconds by role, bytes by direction."""

from collections import defaultdict
from statistics import median

from bench.measure import Times, on_threads, without_collector
from bench.options import Tell
from bench.replay import update_of
from bench.results import Case, Row, row
from secagg import aggregate
from secagg.scheme import Scheme
from secagg_protocols import PROTOCOLS

RUNS = 5


def rows(clients: int, dim: int, tell: Tell) -> list[Row]:
    """One row a protocol and role. A client's are the median client's of each phase, added up; those of phases for
    other roles are a key holder's. Bytes are one client's uploads, or all that the server sends.
    """
    updates = dict.fromkeys(range(clients), update_of(dim))
    made = []
    for name, factory in PROTOCOLS.items():
        tell(f"{name}: a round")
        aggregate(dict.fromkeys(range(4), update_of(64)), factory(4), bits=16)  # compiles, loads
        scheme = factory(clients)
        roles = sorted({_role(scheme, phase.name, of) for phase in scheme.phases for of in ("client", "server")})
        seconds: defaultdict[str, list[float]] = defaultdict(list)
        sent: defaultdict[str, list[float]] = defaultdict(list)
        for _ in range(RUNS):
            with without_collector(), on_threads(1):
                out = aggregate(updates, scheme, bits=16)
            for role in ("client", "server"):
                sent[role].append(sum(size for (_, of), size in out.traffic.items() if of == role))
            for role in roles:
                spent = (took for at, took in out.seconds.items() if _role(scheme, *at) == role)
                seconds[role].append(sum(spent))
        for role, taken in seconds.items():
            case: Case = {"by": name, "role": role, "clients": clients, "dim": dim}
            figures = {"bytes": median(sent[role])} if role in sent else {}
            made.append(row("family", case, Times(tuple(taken)), **figures))
    return made


def _role(scheme: Scheme, phase: str, of: str) -> str:
    """Whose seconds those of `of` in `phase` are."""
    asked = next(each.role for each in scheme.phases if each.name == phase)
    return of if of == "server" or asked == "client" else "key holder"
