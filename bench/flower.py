"""What secure aggregation adds to the rounds of a Flower simulation (suite `flower`), and how much is not Flower's.

    .venv-flower/bin/python -m bench flower [--clients 20 --rounds 6 --epochs 5]
    .venv-flower/bin/python -m bench flower --training 0.5 [--dim 100000]    # no model: clients are just busy

Needs Flower with its simulation (`make .venv-flower`). Clients train a perceptron of 99,385 parameters, each on its
share of as many images as MNIST has (bench/perceptron.py). "Engine" is all time inside the mod but outside the user's
train function, divided by the processes that clients share (Flower gives each two processors), and the time inside the
strategy but outside the grid, less what plain FedAvg takes there. The rest of what is added is Flower's: two more
trips, with a message to and from each client.
"""

import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from bench import perceptron
from bench.cohorts import Options
from bench.measure import Job, Tell
from bench.perceptron import Model
from bench.results import Row, row
from secagg.adapters.flower import SecureAggregation, secagg_mod

SPENT = "SECAGG_BENCH_SPENT"
"""Environment variable: the folder in which each process of clients notes what they spent."""
Training = Callable[[Model, int], Model]
"""(model, seed) to one client's model."""


def jobs(options: Options) -> list[Job]:
    """The suite's one step."""
    clients, rounds = options.clients or (4 if options.quick else 20), options.rounds or (3 if options.quick else 6)
    epochs = options.epochs or (1 if options.quick else 5)
    model, training = perceptron.start(), partial(perceptron.trained, clients=clients, epochs=epochs)
    if options.training is not None:
        model = [np.zeros(options.dim or 100_000, np.float32)]
        training = partial(busy, seconds=options.training)
    return [Job(f"{clients} clients", partial(measured, clients, rounds, model, training))]


class Clock:
    """Adds up the seconds and the number of calls that are made through it, less what another one counts meanwhile."""

    def __init__(self, but: "Clock | None" = None) -> None:
        self.seconds, self.calls, self._but = 0.0, 0, but

    def __call__(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        start, away = time.perf_counter(), self._but.seconds if self._but else 0.0
        found = function(*args, **options)
        self.seconds += time.perf_counter() - start - (self._but.seconds - away if self._but else 0.0)
        self.calls += 1
        return found


def timed_mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """`secagg_mod`, whose own time goes into this process's file."""
    phase, training = message.content["secagg"]["phase"], Clock()
    own = Clock(but=training)
    reply = own(secagg_mod, message, context, partial(training, call_next))
    with (Path(os.environ[SPENT]) / str(os.getpid())).open("a") as file:
        file.write(f"{phase} {own.seconds}\n")
    return reply


def busy(model: Model, _seed: int, seconds: float) -> Model:
    """Keep a processor busy."""
    moved, start = [part + np.float32(0.01) for part in model], time.process_time()
    while time.process_time() - start < seconds:
        pass
    return moved


def client_app(training: Training, *, secure: bool) -> ClientApp:
    """Clients that train, with the mod where `secure`."""
    app = ClientApp(mods=[timed_mod] if secure else [])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        moved = training(message.content["arrays"].to_numpy_ndarrays(), context.node_id)
        metrics = MetricRecord({"num-examples": 10 + context.node_id % 7})
        return Message(RecordDict({"arrays": ArrayRecord(moved), "metrics": metrics}), reply_to=message)

    return app


def simulated(clients: int, rounds: int, model: Model, training: Training, *, secure: bool) -> dict[str, list[float]]:
    """{what: one number a round}: wall seconds, trips, seconds in the strategy and out of the grid."""
    told: defaultdict[str, list[float]] = defaultdict(list)
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:  # noqa: ARG001
        trips, send = Clock(), grid.send_and_receive
        inside = Clock(but=trips)

        def counted(messages: Iterable[Message], *, timeout: float | None = None) -> Any:
            messages = list(messages)
            return (trips if messages else Clock())(send, messages, timeout=timeout)

        grid.send_and_receive = counted
        strategy: Any = FedAvg(fraction_evaluate=0.0, min_train_nodes=clients, min_available_nodes=clients)
        if secure:
            strategy = SecureAggregation(strategy, weight_max=20, clip=1.0)
        strategy.configure_train = partial(inside, strategy.configure_train)
        strategy.aggregate_train = partial(inside, strategy.aggregate_train)

        def note(server_round: int, arrays: ArrayRecord) -> MetricRecord:  # noqa: ARG001
            now = {"wall": time.perf_counter(), "trips": trips.calls, "strategy": inside.seconds}
            for what, value in now.items():
                told[what].append(value)
            return MetricRecord()

        strategy.start(grid, ArrayRecord(model), num_rounds=rounds, evaluate_fn=note)
        failures = [o.failure for o in getattr(strategy, "outcomes", {}).values() if o.failure]
        if failures:
            raise RuntimeError(failures[0])

    run_simulation(server, client_app(training, secure=secure), num_supernodes=clients)
    return {what: np.diff(values).tolist() for what, values in told.items()}


def measured(clients: int, rounds: int, model: Model, training: Training, tell: Tell) -> list[Row]:
    """A plain simulation, then a secure one: seconds of its steady rounds, which are all but the first.

    "training" are processor seconds that a client trains; "processes" those of clients, as Flower started them. The
    engine at all clients together is a client's median of each phase, divided by processes; that at the server, a
    difference of medians.
    """
    tell("plain")
    plain, spent = simulated(clients, rounds, model, training, secure=False), defaultdict(list)
    tell("secure")
    with tempfile.TemporaryDirectory() as folder:
        os.environ[SPENT] = folder
        secure = simulated(clients, rounds, model, training, secure=True)
        files = [file.read_text() for file in Path(folder).iterdir()]
    for phase, seconds in (line.split() for file in files for line in file.splitlines()):
        spent[phase].append(float(seconds))
    one = sum(median(seconds) for phase, seconds in spent.items() if phase != "keys")  # a steady round's come ahead
    marks = [time.process_time()]
    for seed in range(3):
        training(model, seed)
        marks.append(time.process_time())
    client, server = one * clients / len(files), median(secure["strategy"][1:]) - median(plain["strategy"][1:])
    share = (client + server) / median(plain["wall"][1:])
    case = {"clients": clients, "dim": sum(part.size for part in model), "rounds": rounds, "processes": len(files)}
    made = partial(row, "Flower's rounds")
    return [
        made(case | {"of": "training"}, np.diff(marks).tolist()),
        made(case | {"of": "plain"}, plain["wall"][1:], trips=plain["trips"][-1]),
        made(case | {"of": "secure"}, secure["wall"][1:], trips=secure["trips"][-1]),
        made(case | {"of": "engine"}, [client + server], client=client, server=server, **{"of a plain round": share}),
    ]
