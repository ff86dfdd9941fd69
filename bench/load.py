"""One round among many clients: wall time, and the server's peak memory apart from its clients'.

    python -m bench.load --clients 2000 --dim 10000 [--dropout 0.02] [--json]

The clients live in a process of their own and all that passes is bytes, so the server's memory is the server's.
"""

import argparse
import json
import multiprocessing
import random
import resource
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import secagg
from secagg import Coordinator, Participant, Session
from secagg_protocols import PROTOCOLS, PairwiseMasking

Beat = Callable[[str, int, int], None]
"""(phase, replies so far, asked): called at every reply."""
END = b""
"""Sent to the fleet when the round is over."""


@dataclass
class Load:
    """What one round cost.

    Attributes:
        clients, dim, neighbours, threshold, lost: the round; `lost` clients sent no vector.
        seconds: {phase: wall seconds, clients' work included}.
        server_seconds: {phase: seconds in the server's own code}.
        sent, received: {phase: bytes, all clients together}.
        server_bytes: growth of the server's peak memory over the round: resident, or as `tracemalloc` counts.
        fleet_bytes: peak resident memory of the clients' process.
    """

    clients: int
    dim: int
    neighbours: int
    threshold: int
    lost: int
    seconds: dict[str, float]
    server_seconds: dict[str, float]
    sent: dict[str, float]
    received: dict[str, int]
    server_bytes: int
    fleet_bytes: int

    @property
    def bytes_an_edge(self) -> float:
        """The server's memory beyond eight vectors, for each of the n * k shares that it relays."""
        return (self.server_bytes - 8 * 8 * self.dim) / (self.clients * self.neighbours)


def run(clients: int, dim: int, dropout: float, beat: Beat, *, traced: bool = False) -> Load:
    """One round of SecAgg+ as `plan` has it; the sum is checked against the clients' vectors.

    Args:
        clients: 3 or more.
        dim: entries of each update.
        dropout: rate of clients, below 1, that send no vector.
        beat: hears of progress.
        traced: count the server's memory with `tracemalloc`, which is exact and slow.
    """
    scheme = PROTOCOLS["secagg+"](clients)
    assert isinstance(scheme, PairwiseMasking)
    session = Session.create(range(clients), np.zeros(dim, np.uint16))
    lost = set(random.Random(0).sample(range(clients), int(dropout * clients)))
    with fleet_of(scheme, session, dim) as fleet, growth(traced) as grown:
        coordinator = Coordinator(scheme, session)
        seconds, received = {}, {}
        while not coordinator.done:
            name, start = coordinator.phase or "", time.perf_counter()
            received[name] = exchange(coordinator, fleet, lost if name == "masked" else set(), beat)
            coordinator.close_phase()
            seconds[name] = time.perf_counter() - start
        out = coordinator.result
        assert out is not None
        server_bytes = grown()
        fleet.send_bytes(END)
        expected, fleet_bytes = fleet.recv()
    np.testing.assert_array_equal(out.ring_sum, expected)
    parameters = scheme.parameters(session)
    return Load(
        clients,
        dim,
        parameters.degree,
        parameters.threshold,
        len(lost),
        seconds,
        {phase: value for (phase, role), value in out.seconds.items() if role == "server"},
        {phase: value for (phase, role), value in out.traffic.items() if role == "server"},
        received,
        server_bytes,
        fleet_bytes,
    )


def exchange(coordinator: Coordinator, fleet: Connection, silent: set[int], beat: Beat) -> int:
    """One phase, left open; returns the bytes received."""
    phase = coordinator.phase or ""
    asks = {party: ask for party, ask in coordinator.asks().items() if party not in silent}

    def send() -> None:
        for party, ask in asks.items():
            fleet.send_bytes(int(party).to_bytes(4, "little") + ask)

    sender = threading.Thread(target=send)
    sender.start()
    received = 0
    for place, party in enumerate(asks, 1):  # the fleet answers in the order of the asks
        reply = fleet.recv_bytes()
        received += len(reply)
        coordinator.receive(party, reply)
        beat(phase, place, len(asks))
    sender.join()
    return received


@contextmanager
def fleet_of(scheme: PairwiseMasking, session: Session, dim: int) -> Iterator[Connection]:
    """All clients, in a process that is ended afterwards."""
    here, there = multiprocessing.Pipe()
    arguments = ((scheme.neighbours, scheme.threshold), session.to_bytes(), dim, there)
    process = multiprocessing.get_context("spawn").Process(target=be_clients, args=arguments)
    process.start()
    there.close()  # so that the fleet's end is seen as one
    try:
        yield here
    finally:
        here.close()
        process.join()


def be_clients(options: tuple[int | None, int | None], session_bytes: bytes, dim: int, server: Connection) -> None:
    """The fleet's program: answers asks until END, then tells the sum of the vectors that left, and its memory."""
    scheme, session = PairwiseMasking(*options), Session.from_bytes(session_bytes)
    clients = {party: Participant(scheme, session, party) for party in session.parties}
    expected = np.zeros(dim, np.uint64)
    while message := server.recv_bytes():
        party = int.from_bytes(message[:4], "little")
        reply = clients[party].answer(message[4:], partial(trained, party, expected))
        assert reply is not None
        server.send_bytes(reply)
    server.send((expected, peak_resident()))


def trained(party: int, total: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """A client's update, (dim,), also added to `total`; made once, in the phase that takes it."""
    update = np.random.default_rng(party).integers(0, 2**16, total.size, np.uint16)
    total += update
    return update


def peak_resident() -> int:
    """Largest resident memory of this process so far, bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextmanager
def growth(traced: bool) -> Iterator[Callable[[], int]]:
    """Yields a function that tells by how many bytes the peak has grown since the start."""
    secagg.aggregate({i: np.zeros(4, np.uint16) for i in range(3)}, PairwiseMasking())  # kernels are loaded already
    if not traced:
        before = peak_resident()
        yield lambda: peak_resident() - before
        return
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def show(load: Load, console: Console) -> None:
    """A table for people."""
    table = Table(title=f"{load.clients} clients, dim {load.dim}, k = {load.neighbours}, t = {load.threshold}")
    for column in ("phase", "wall s", "server s", "sent MB", "received MB"):
        table.add_column(column, justify="left" if column == "phase" else "right")
    for phase, seconds in load.seconds.items():
        figures = (seconds, load.server_seconds[phase], load.sent[phase] / 1e6, load.received[phase] / 1e6)
        table.add_row(phase, *(f"{figure:.2f}" for figure in figures))
    console.print(table)
    console.print(
        f"{sum(load.seconds.values()):.1f} s in all, {load.lost} clients lost; the server's peak grew by "
        f"{load.server_bytes / 1e6:.1f} MB ({load.bytes_an_edge:.0f} bytes for each of n * k shares), "
        f"the clients' process reached {load.fleet_bytes / 1e6:.0f} MB"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--dim", type=int, default=10_000)
    parser.add_argument("--dropout", type=float, default=0.02, help="rate of clients that send no vector")
    parser.add_argument("--traced", action="store_true", help="count the server's memory exactly, and slowly")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bars: dict[str, int] = {}

        def beat(phase: str, done: int, total: int) -> None:
            if phase not in bars:
                bars[phase] = progress.add_task(phase, total=total)
            progress.update(bars[phase], completed=done)

        load = run(options.clients, options.dim, options.dropout, beat, traced=options.traced)
    if options.json:
        print(json.dumps(asdict(load)))
    else:
        show(load, Console())


if __name__ == "__main__":
    main()
