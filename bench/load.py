"""One round among many clients: wall time, and the server's peak memory apart from its clients'.

    python -m bench.load --clients 2000 --dim 10000 [--dropout 0.02] [--json]

The clients live in a process of their own and all that passes is bytes, so the server's memory is the server's.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.cohorts import Cohort
from bench.measure import Tell
from bench.replay import Replay, session_of, update_of
from secagg import Participant, aggregate
from secagg_protocols import PROTOCOLS, PairwiseMasking

END = b""
"""Sent to the clients when the round is over."""


def run(cohort: Cohort, tell: Tell, *, traced: bool) -> dict[str, Any]:
    """One round, by phase: wall seconds, clients' work included; seconds in the server's own code; bytes that it sent
    and received. "server_bytes" is how much its peak memory grew over the round: resident, or, where it is `traced`,
    which is exact and slow, as `tracemalloc` counts.
    """
    with fleet_of(cohort) as fleet, growth(traced) as grown:
        replayed = Replay(cohort, tell, clients=[Remote(place, fleet) for place in range(cohort.clients)])
        replayed.play()
        server_bytes, server_peak = grown(), peak_resident()
        fleet.send_bytes(END)
        fleet_bytes = fleet.recv()
    replayed.check()
    trace, case = replayed.trace, cohort.case
    own = {phase: clocks[0].item() for phase, clocks in trace.server.items()}
    return {
        **{name: case[name] for name in ("clients", "dim", "neighbours", "threshold", "lost")},
        "seconds": {phase: sum(trace.client[phase]) + seconds for phase, seconds in own.items()},
        "server_seconds": own,
        "sent": trace.asked,
        "received": {phase: sum(sizes) for phase, sizes in trace.replied.items()},
        "server_bytes": server_bytes,
        "server_peak": server_peak,
        "fleet_bytes": fleet_bytes,
    }


class Remote(NamedTuple):
    """A client at the other end of a pipe."""

    place: int
    fleet: Connection

    def answer(self, ask: bytes, _update: object) -> bytes:
        """As `Participant.answer`."""
        self.fleet.send_bytes(self.place.to_bytes(4, "little") + ask)
        return self.fleet.recv_bytes()


@contextmanager
def fleet_of(cohort: Cohort) -> Iterator[Connection]:
    """All clients, in a process that is ended afterwards."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=be_clients, args=(cohort, there))
    process.start()
    there.close()  # so that the fleet's end is seen as one
    try:
        yield here
    finally:
        here.close()
        process.join()


def be_clients(cohort: Cohort, server: Connection) -> None:
    """The fleet's program: answers asks until END, then tells its memory."""
    scheme, session, update = cohort.scheme, session_of(cohort), update_of(cohort.dim)
    clients = [Participant(scheme, session, party) for party in session.parties]
    while message := server.recv_bytes():
        reply = clients[int.from_bytes(message[:4], "little")].answer(message[4:], update)
        assert reply is not None
        server.send_bytes(reply)
    server.send(peak_resident())


def peak_resident() -> int:
    """Largest resident memory of this process so far, bytes.

    Linux counts it for this program, where `getrusage` also counts what its parent held when it was started.
    """
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def growth(traced: bool) -> Iterator[Callable[[], int]]:
    """Yields a function that tells by how many bytes the peak has grown since the start."""
    aggregate(dict.fromkeys(range(4), np.zeros(4, np.float32)), PairwiseMasking())  # kernels are loaded already
    before = peak_resident()
    if not traced:
        yield lambda: peak_resident() - before
        return
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def show(load: dict[str, Any], console: Console) -> None:
    """A table for people."""
    columns = {"wall s": ("seconds", 1.0), "server s": ("server_seconds", 1.0)}
    columns |= {"sent MB": ("sent", 1e6), "received MB": ("received", 1e6)}
    table = Table(
        "phase", *columns, title="{clients} clients, dim {dim}, k = {neighbours}, t = {threshold}".format(**load)
    )
    for phase in load["seconds"]:
        table.add_row(phase, *(f"{load[name][phase] / unit:.2f}" for name, unit in columns.values()))
    console.print(table)
    # Beyond eight vectors, for each of the shares that the server relays.
    an_edge = (load["server_bytes"] - 8 * 8 * load["dim"]) / (load["clients"] * load["neighbours"])
    console.print(
        f"{sum(load['seconds'].values()):.1f} s in all, {load['lost']} clients lost; the server's peak grew by "
        f"{load['server_bytes'] / 1e6:.1f} MB ({an_edge:.0f} bytes for each of n * k shares), "
        f"the clients' process reached {load['fleet_bytes'] / 1e6:.0f} MB"
    )


def main() -> None:
    """The command: a round of SecAgg+ with k and t as `plan` has them, or with k neighbours."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--dim", type=int, default=10_000)
    parser.add_argument("--neighbours", type=int, help="k; else k and t as `secagg plan` has them")
    parser.add_argument("--dropout", type=float, default=0.02, help="rate of clients that send no vector")
    parser.add_argument("--traced", action="store_true", help="count the server's memory exactly, and slowly")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    scheme = PROTOCOLS["secagg+"](asked.clients) if asked.neighbours is None else PairwiseMasking(asked.neighbours)
    assert isinstance(scheme, PairwiseMasking)
    lost = int(asked.dropout * asked.clients)
    cohort = Cohort(asked.clients, asked.dim, scheme.neighbours, lost, scheme.threshold)
    with Console(stderr=True).status("clients start") as status:
        load = run(cohort, status.update, traced=asked.traced)
    if asked.json:
        print(json.dumps(load))
    else:
        show(load, Console())


if __name__ == "__main__":
    main()
