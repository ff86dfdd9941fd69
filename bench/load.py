"""One round among many clients (suite `load`): wall time, and the server's peak memory apart from its clients'.

`python -m bench load --clients 2000 --dim 10000 [--lost 40] [--traced]`: a round of SecAgg+ with k and t as `plan` has
them, or with so many `--neighbours`. The clients live in a process of their own and all that passes is bytes, so the
server's memory is the server's.
"""

import multiprocessing
import resource
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from bench.cohorts import Cohort, Options
from bench.measure import Job, Tell
from bench.replay import Replay, session_of, update_of
from bench.results import Row, row
from secagg import Participant, aggregate
from secagg_protocols import PairwiseMasking

END = b""
"""Sent to the clients when the round is over."""


def jobs(options: Options) -> list[Job]:
    """The suite's one step."""
    clients, dim = (10, 1000) if options.quick else (2000, 10_000)
    clients = options.clients or clients
    lost = clients // 50 if options.lost is None else options.lost
    cohort = Cohort.of("secagg+", clients, options.dim or dim, lost)
    if options.neighbours is not None:
        cohort = replace(cohort, neighbours=options.neighbours, threshold=None)
    return [Job(cohort.title, partial(run, cohort, options.traced))]


def run(cohort: Cohort, traced: bool, tell: Tell) -> list[Row]:
    """A row a phase: wall seconds, clients' work included; seconds in the server's own code; bytes that it sent and
    received. And one of memory: by how much the server's peak grew over the round, in all and for each share that it
    relays, beyond eight vectors: resident, or, where it is `traced`, which is exact and slow, as `tracemalloc` counts.
    """
    with fleet_of(cohort) as fleet, growth(traced) as grown:
        replayed = Replay(cohort, tell, clients=[Remote(place, fleet) for place in range(cohort.clients)])
        while not replayed.coordinator.done:  # whose result, as floats, is no part of the memory
            replayed.step()
        grew, after = grown(), peak_resident()
        fleet.send_bytes(END)
        fleet_peak = fleet.recv()
    replayed.check()
    trace, case, rows = replayed.trace, cohort.case, []
    for phase, clocks in trace.server.items():
        server, moved = clocks[0].item(), {"sent": trace.asked[phase], "received": sum(trace.replied[phase])}
        rows.append(row("load", case | {"phase": phase}, [sum(trace.client[phase]) + server], server=server, **moved))
    a_share = (grew - 8 * 8 * cohort.dim) / (cohort.clients * int(case["neighbours"]))
    figures = {"grown": grew, "bytes a share": a_share, "clients' process": fleet_peak}
    whole = sum(one.seconds for one in rows)
    return [*rows, row("memory", case, [whole], before=after - grew, after=after, **figures)]


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
    if traced:
        tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1] if traced else peak_resident() - before
    finally:
        tracemalloc.stop()
