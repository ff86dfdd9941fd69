"""What attacks on clients by their server have in common: an active federation of honest clients, each with the default
mod, an identity and a ledger of its own, and a server that may lie.
"""

import random

from federation import MemoryGrid, arrays_of, client_app, grid_of
from flwr.app import Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg

from secagg import Credentials
from secagg.adapters.flower import SecAggMod, SecureAggregation
from secagg.testing import SeededEntropy

CLIP = 0.5
"""Of the steps of `federation.step_of`."""


class Federation:
    """Identities of so many nodes, and what each end makes of them."""

    def __init__(self, nodes):
        self.nodes = list(grid_of(nodes).apps)
        self.known = Credentials.generate(map(str, self.nodes), SeededEntropy("lying"))
        self.mod = SecAggMod(credentials=lambda context: self.known[str(context.node_id)])
        self.how = {"options": {"adversary": "active"}, "roster": self.known[str(self.nodes[0])].roster}

    def grid(self, train=None, kind=MemoryGrid, mod=None, weights="10,400", **how):
        how["node_config"] = {"secagg-weights": weights}
        return kind({node: client_app((mod or self.mod,), train) for node in self.nodes}, **how)

    def run(self, grid, model, config=None, **encoding):
        """One round: (its outcome, the model's arrays after it, None where there is no sum)."""
        averaging = FedAvg(fraction_evaluate=0.0, min_train_nodes=3)
        strategy = SecureAggregation(averaging, **{"clip": CLIP, **self.how, **encoding})
        random.seed(7)  # Flower samples by it, so that the nodes come in the same order every time
        result = strategy.start(grid, model, num_rounds=1, train_config=config)
        return strategy.outcomes[1], arrays_of(result.arrays) if result.arrays else None


def refusals(grid):
    """{node: what the server was told} of all error replies."""
    return {reply.metadata.src_node_id: reply.error.reason for reply in grid.replies if reply.has_error()}


def sent(message, content):
    """The same message with another content."""
    return Message(content, message.metadata.dst_node_id, message.metadata.message_type)


def replied(message, arrays, **metrics):
    """What a train function returns."""
    return Message(RecordDict({"arrays": arrays, "metrics": MetricRecord(metrics)}), reply_to=message)
