"""The server: reports the model after each round, and how the round went."""

import json
import socket
from dataclasses import asdict

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

from probe.training import CLIP, SHAPES, WEIGHT_MAX
from secagg.adapters.flower import SecureAggregation

app = ServerApp()


@app.main()
def main(grid, context):
    settings = context.run_config
    nodes = len(SHAPES) + 1
    inner = FedAvg(fraction_evaluate=0.0, min_train_nodes=nodes, min_available_nodes=nodes)
    strategy = SecureAggregation(
        inner, weight_max=WEIGHT_MAX, clip=CLIP, options={"threshold": 2}, min_cohort=2, phase_timeout=120
    )
    models = {}

    def keep(server_round, arrays):
        models[server_round] = {name: array.numpy().tolist() for name, array in arrays.items()}
        return MetricRecord()

    strategy.start(
        grid,
        ArrayRecord({name: Array(np.zeros(shape)) for name, shape in SHAPES.items()}),
        num_rounds=settings["rounds"],
        timeout=settings["timeout"],
        evaluate_fn=keep,
    )
    outcomes = {
        server_round: {
            **asdict(outcome),
            "contributors": sorted(outcome.contributors),
            "left_out": sorted(outcome.left_out),
        }
        for server_round, outcome in strategy.outcomes.items()
    }
    with socket.create_connection(("127.0.0.1", settings["port"])) as link:
        link.sendall(json.dumps({"event": "done", "models": models, "outcomes": outcomes}).encode() + b"\n")
