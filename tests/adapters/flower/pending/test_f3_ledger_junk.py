"""A client's ledger opens one cohort per context, and in Flower the context is whatever the server sends: one entry of
the configuration that no client reads makes another context of the same model. So the server has a sum with the victim
and one without it, and their difference is the victim's update. Active mode, a ledger in every `Context.state`.

Closed when: the second sum is refused by all who helped with the first, as in `test_same_context_retry`.
"""

import numpy as np
from federation import MODEL, MemoryGrid, model_record, step_of
from flwr.app import ConfigRecord
from lying import Federation, replied

from secagg import Ledger

NODES = 6
FEDERATION = Federation(NODES)
VICTIM = FEDERATION.nodes[2]


def train(message, context):
    """The same update whenever it gets the same model."""
    arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
    moved = {n: (a + step_of(context.node_id, 0, a.shape)).astype(a.dtype) for n, a in arrays.items()}
    return replied(message, model_record(moved), **{"num-examples": 100})


def test_two_sums_over_cohorts_that_differ_by_one_are_opened():
    grid, sums, bounds = FEDERATION.grid(train), [], []
    for nodes in (FEDERATION.nodes, [node for node in FEDERATION.nodes if node != VICTIM]):
        part = MemoryGrid({node: grid.apps[node] for node in nodes})
        part.states = grid.states
        junk = ConfigRecord({"nobody-reads-this": len(nodes)})
        outcome, found = FEDERATION.run(part, model_record(), junk, weight_max=None)
        assert outcome.contributors == set(map(str, nodes))
        sums.append({name: (found[name] - array) * len(nodes) for name, array in MODEL.items()})
        bounds.append({name: outcome.error_bound[name] * len(nodes) for name in MODEL})
    for name, array in MODEL.items():
        read = sums[0][name] - sums[1][name]
        most = bounds[0][name] + bounds[1][name]
        assert most < 2e-4
        assert np.abs(read - step_of(VICTIM, 0, array.shape)).max() <= most + 1e-5  # the model is in float32
    ledgers = [Ledger.from_bytes(grid.states[node]["secagg.ledger"]["opened"]) for node in FEDERATION.nodes]
    assert [len(ledger._opened) for ledger in ledgers] == [2, 2, 1, 2, 2, 2]
