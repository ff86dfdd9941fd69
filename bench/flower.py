"""What secure aggregation adds to the rounds of a Flower simulation, and how much of it is not Flower's.

    .venv-flower/bin/python -m bench.flower [--clients 20 --rounds 6 --epochs 5] [--json]
    .venv-flower/bin/python -m bench.flower --training 0.5 [--dim 100000]    # no model: clients are just busy

Needs Flower with its simulation (`make .venv-flower`). Clients train a perceptron of 99,385 parameters, each on its
share of as many images as MNIST has (bench/perceptron.py). "Engine" is all time inside the mod but outside the user's
train function, divided by the processes that clients share (Flower gives each two processors), and the time inside the
strategy but outside the grid, less what plain FedAvg takes there. The rest of what is added is Flower's: two more
trips, with a message to and from each client.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

os.environ.update(FLWR_TELEMETRY_ENABLED="0", FLWR_DISABLE_UPDATE_CHECK="1")
# The perceptron's products are small: threads that wait for each other lose.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from numpy.typing import NDArray

from bench import perceptron
from secagg.adapters.flower import SecureAggregation, secagg_mod

SPENT = "SECAGG_BENCH_SPENT"
"""Environment variable: the folder in which each process of clients notes what they spent."""


@dataclass
class Cost:
    """Seconds of a steady round, medians over all rounds but the first.

    Attributes:
        clients, dim, rounds: of the simulation.
        processes: in which clients ran, as Flower started them.
        training: processor seconds that a client trains.
        plain, secure: wall time of a round.
        client_engine: of all clients together, a client's median each, divided by processes.
        server_engine: of the server, less that of plain FedAvg: a difference of medians.
        engine_share: (client_engine + server_engine) / plain.
        plain_trips, secure_trips: of the last round.
    """

    clients: int
    dim: int
    rounds: int
    processes: int
    training: float
    plain: float
    secure: float
    client_engine: float
    server_engine: float
    engine_share: float
    plain_trips: int
    secure_trips: int


def timed_mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """`secagg_mod`, whose own time goes into this process's file."""
    training = 0.0

    def train(message: Message, context: Context) -> Message:
        nonlocal training
        start = time.perf_counter()
        reply = call_next(message, context)
        training += time.perf_counter() - start
        return reply

    phase, start = message.content["secagg"]["phase"], time.perf_counter()
    reply = secagg_mod(message, context, train)
    own = time.perf_counter() - start - training
    with (Path(os.environ[SPENT]) / str(os.getpid())).open("a") as file:
        file.write(f"{phase} {own}\n")
    return reply


def busy(flat: NDArray[np.float32], training: float) -> NDArray[np.float32]:
    """Keep a processor busy for `training` seconds."""
    moved, start = flat + np.float32(0.01), time.process_time()
    while time.process_time() - start < training:
        pass
    return moved


@dataclass(frozen=True)
class Work:
    """What each client does in a round.

    Attributes:
        dim: of the model.
        clients: that share the images.
        epochs: of the perceptron's training.
        busy: seconds to be busy instead of training; None to train.
    """

    dim: int
    clients: int
    epochs: int
    busy: float | None

    def start(self) -> NDArray[np.float32]:
        """(dim,), the model to begin with."""
        return perceptron.start() if self.busy is None else np.zeros(self.dim, np.float32)

    def run(self, flat: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        """(dim,), one client's model after its work."""
        if self.busy is None:
            return perceptron.trained(flat, seed, self.clients, self.epochs)
        return busy(flat, self.busy)

    def seconds(self) -> float:
        """Processor seconds of one client's work, a median of three."""
        flat, marks = self.start(), [time.process_time()]
        for seed in range(3):
            self.run(flat, seed)
            marks.append(time.process_time())
        return float(median(np.diff(marks)))


def client_app(work: Work, *, secure: bool) -> ClientApp:
    """Clients that do `work`, with the mod where `secure`."""
    app = ClientApp(mods=[timed_mod] if secure else [])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        moved = work.run(message.content["arrays"]["w"].numpy(), context.node_id)
        metrics = MetricRecord({"num-examples": 10 + context.node_id % 7})
        return Message(RecordDict({"arrays": ArrayRecord({"w": Array(moved)}), "metrics": metrics}), reply_to=message)

    return app


class TimedGrid:
    """A grid that counts its trips and the time they take."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self.trips = 0
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        messages, start = list(messages), time.perf_counter()
        self.trips += bool(messages)
        replies = self._grid.send_and_receive(messages, timeout=timeout)
        self.seconds += time.perf_counter() - start
        return replies


def simulated(rounds: int, work: Work, *, secure: bool) -> dict[str, list[float]]:
    """{what: one number a round}: wall seconds, trips, seconds in the strategy and out of the grid."""
    told: dict[str, list[float]] = {"wall": [], "trips": [], "strategy": []}
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:  # noqa: ARG001
        timed, spent = TimedGrid(grid), [0.0]

        def timing(method: Any) -> Any:
            def call(*args: Any) -> Any:
                start, inside = time.perf_counter(), timed.seconds
                found = method(*args)
                spent[0] += time.perf_counter() - start - (timed.seconds - inside)
                return found

            return call

        strategy: Any = FedAvg(fraction_evaluate=0.0, min_train_nodes=work.clients, min_available_nodes=work.clients)
        if secure:
            strategy = SecureAggregation(strategy, weight_max=20, clip=1.0)
        strategy.configure_train = timing(strategy.configure_train)
        strategy.aggregate_train = timing(strategy.aggregate_train)

        def note(server_round: int, arrays: ArrayRecord) -> MetricRecord:  # noqa: ARG001
            for what, value in (("wall", time.perf_counter()), ("trips", timed.trips), ("strategy", spent[0])):
                told[what].append(value)
            return MetricRecord()

        strategy.start(timed, ArrayRecord({"w": Array(work.start())}), num_rounds=rounds, evaluate_fn=note)
        failures = [o.failure for o in getattr(strategy, "outcomes", {}).values() if o.failure]
        if failures:
            raise RuntimeError(failures[0])

    run_simulation(server, client_app(work, secure=secure), num_supernodes=work.clients)
    return {what: np.diff(values).tolist() for what, values in told.items()}


def spent_by_a_client(folder: str) -> tuple[float, int]:
    """(seconds in a steady round: the medians of its phases, summed; processes of clients)."""
    spent: dict[str, list[float]] = {}
    files = list(Path(folder).iterdir())
    for file in files:
        for line in file.read_text().splitlines():
            phase, seconds = line.split()
            spent.setdefault(phase, []).append(float(seconds))
    return sum(median(seconds) for phase, seconds in spent.items() if phase != "keys"), len(files)


def measured(rounds: int, work: Work) -> Cost:
    """A plain simulation, then a secure one."""
    plain = simulated(rounds, work, secure=False)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[SPENT] = folder
        secure = simulated(rounds, work, secure=True)
        one, processes = spent_by_a_client(folder)
    client = one * work.clients / processes
    server = median(secure["strategy"][1:]) - median(plain["strategy"][1:])
    wall = median(plain["wall"][1:])
    return Cost(
        work.clients,
        work.dim,
        rounds,
        processes,
        work.seconds(),
        wall,
        median(secure["wall"][1:]),
        client,
        server,
        (client + server) / wall,
        int(plain["trips"][-1]),
        int(secure["trips"][-1]),
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.flower", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=5, help="of each client, in each round")
    parser.add_argument("--training", type=float, metavar="SECONDS", help="clients are just busy for so long instead")
    parser.add_argument("--dim", type=int, default=100_000, help="with --training")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    dim = perceptron.DIM if options.training is None else options.dim
    cost = measured(options.rounds, Work(dim, options.clients, options.epochs, options.training))
    if options.json:
        sys.stdout.write(json.dumps(asdict(cost)) + "\n")
        return
    sys.stdout.write(
        f"{cost.clients} clients that train for {cost.training:.3g} s, dim {cost.dim}, {cost.processes} process(es)\n"
        "seconds of a steady round\n"
        f"plain   {cost.plain:8.3f}  {cost.plain_trips} trip\n"
        f"secure  {cost.secure:8.3f}  {cost.secure_trips} trips\n"
        f"engine  {cost.client_engine + cost.server_engine:8.3f}  {cost.engine_share:.1%} of the plain round "
        f"(clients {cost.client_engine:.3f}, server {cost.server_engine:.3f})\n"
    )


if __name__ == "__main__":
    main()
