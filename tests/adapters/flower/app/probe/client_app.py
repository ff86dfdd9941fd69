"""A client; one of them can be told to stop in the middle of its training and tell the test."""

import json
import socket

from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from flwr.app import Message as FlowerMessage
from flwr.clientapp import ClientApp

from probe.training import examples, step
from secagg import Policy
from secagg.adapters.flower import SecAggMod
from secagg.adapters.flower.memory import is_deployed
from secagg_protocols import PROTOCOLS

app = ClientApp(mods=[SecAggMod(Policy(min_cohort=2), PROTOCOLS)])


@app.train()
def train(message, context):
    partition, server_round = context.node_config["partition-id"], message.content["config"]["server-round"]
    settings = context.run_config
    if settings["victim"] == partition and settings["fatal-round"] == server_round:
        wait_for_the_end(settings["port"])
    moved = {
        name: Array(message.content["arrays"][name].numpy() + change)
        for name, change in step(partition, server_round).items()
    }
    metrics = MetricRecord({"num-examples": examples(partition), "deployed": float(is_deployed(context))})
    return FlowerMessage(RecordDict({"arrays": ArrayRecord(moved), "metrics": metrics}), reply_to=message)


def wait_for_the_end(port):
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(json.dumps({"event": "training"}).encode() + b"\n")
        link.recv(1)  # until the test lets go, or this process is killed
    raise SystemExit("told to end")
