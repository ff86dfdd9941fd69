"""The server: reports the model after each round, and how the round went."""

import json
import socket

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from msgspec.structs import asdict

from probe.training import CLIP, SHAPES, WEIGHT_MAX
from secagg.adapters.flower import SecureAggregation

app = ServerApp()


@app.main()
def main(grid, context):
    settings = context.run_config
    nodes = len(SHAPES) + 1
    inner = FedAvg(fraction_evaluate=0.0, min_train_nodes=nodes, min_available_nodes=nodes)
    strategy = SecureAggregation(
        inner,
        weight_max=WEIGHT_MAX,
        scheme=settings["scheme"],
        options={"threshold": 2} if settings["scheme"] == "secagg" else {},
        clip=CLIP,
        metrics={"deployed": 1.0},
        min_cohort=2,
        phase_timeout=120,
    )
    models, trips = {}, []

    def counted(messages, *, timeout=None, deliver=grid.send_and_receive):
        messages = list(messages)
        trips.append(len(messages))
        return deliver(messages, timeout=timeout)

    grid.send_and_receive = counted

    def keep(server_round, arrays):
        models[server_round] = {name: array.numpy().tolist() for name, array in arrays.items()}
        return MetricRecord()

    result = strategy.start(
        grid,
        ArrayRecord({name: Array(np.zeros(shape)) for name, shape in SHAPES.items()}),
        num_rounds=settings["rounds"],
        timeout=settings["timeout"],
        evaluate_fn=keep,
    )
    outcomes = {
        server_round: {
            name: sorted(value) if isinstance(value, frozenset) else value for name, value in asdict(outcome).items()
        }
        for server_round, outcome in strategy.outcomes.items()
    }
    with socket.create_connection(("127.0.0.1", settings["port"])) as link:
        told = {"event": "done", "models": models, "outcomes": outcomes, "trips": [n for n in trips if n]}
        told["deployed"] = [metrics["deployed"] for metrics in result.train_metrics_clientapp.values()]
        link.sendall(json.dumps(told).encode() + b"\n")
