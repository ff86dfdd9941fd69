"""A client that reads a model's arrays by place, as Flower's `to_numpy_ndarrays` does and the example of docs/examples,
trains another model where they come in another order. The server gives all but the victim two biases of equal shape in
each other's place: their hidden layer is dead, their update is (nearly) nothing, and the sum over six is the victim's
update. Active mode, one round. The digest that clients compare is of the arrays in their order, so the five refuse;
under one of the arrays by name nobody does.
"""

import numpy as np
import pytest
from federation import MemoryGrid
from flwr.app import ArrayRecord, RecordDict
from lying import Federation, refusals, replied, sent

from secagg.adapters.flower import seen
from secagg.federation.context import digest_of

NODES, WIDTH, SCALE = 6, 8, 1e3
FEDERATION = Federation(NODES)
VICTIM = FEDERATION.nodes[3]
SWAPPED = ("0", "3", "2", "1", "4", "5")
CLIPS = {"0": 0.2, "1": 0.2, "2": 1e-4, "3": 1e-4, "4": 2e-2, "5": 1.0}


def crafted():
    """A network of two hidden layers; the second dies where the first one's bias and its own change places."""
    draw = np.random.default_rng(0)
    return [
        draw.uniform(-0.5, 0.5, (WIDTH, WIDTH)),
        np.zeros(WIDTH),
        draw.uniform(0.2, 1, (WIDTH, WIDTH)) * SCALE,
        np.full(WIDTH, -SCALE),
        draw.uniform(-1, 1, (WIDTH, 1)) / SCALE,
        np.zeros(1),
    ]


def descended(weights, x, y, steps=3, rate=0.05):
    """Plain gradient descent on the squared error; layers in the model's units."""
    w1, b1, w2, b2, w3, b3 = (array.copy() for array in weights)
    for _ in range(steps):
        z1 = x @ w1 + b1
        h1 = np.maximum(z1, 0)
        z2 = h1 @ w2 + b2
        h2 = np.maximum(z2, 0)
        d3 = (h2 @ w3 + b3 - y) / len(x)
        d2 = d3 @ w3.T * (z2 > 0)
        d1 = d2 @ w2.T * (z1 > 0)
        w3, b3 = w3 - rate * h2.T @ d3 / SCALE, b3 - rate * d3.sum(0)
        w2, b2 = w2 - rate * h1.T @ d2, b2 - rate * d2.sum(0)
        w1, b1 = w1 - rate * x.T @ d1, b1 - rate * d1.sum(0)
    return [w1, b1, w2, b2, w3, b3]


class Swapping(MemoryGrid):
    """Sends all but the victim the two biases in each other's place."""

    def _deliver(self, message):
        if "arrays" in message.content and message.metadata.dst_node_id != VICTIM:
            arrays = message.content["arrays"]
            swapped = ArrayRecord({name: arrays[name] for name in SWAPPED})
            message = sent(message, RecordDict({**message.content, "arrays": swapped}))
        return super()._deliver(message)


@pytest.fixture
def updates():
    """{node: its update}, as they are trained."""
    return {}


@pytest.fixture
def grid(updates):
    def train(message, context):
        received = message.content["arrays"].to_numpy_ndarrays()
        draw = np.random.default_rng(context.node_id % 2**32)
        trained = descended(received, draw.uniform(0, 1, (64, WIDTH)), draw.uniform(-1, 1, (64, 1)))
        updates[context.node_id] = [new - old for new, old in zip(trained, received, strict=True)]
        return replied(message, ArrayRecord(trained), **{"num-examples": 64})

    return FEDERATION.grid(train, Swapping)


def run(grid):
    return FEDERATION.run(grid, ArrayRecord(crafted()), weight_max=None, clip=CLIPS)


def test_another_order_of_arrays_is_another_model(grid, updates):
    outcome, found = run(grid)
    assert outcome.failure is not None
    assert found is None
    told = refusals(grid)
    assert set(told) == set(FEDERATION.nodes) - {VICTIM}
    assert all(reason.startswith("InconsistentModel") for reason in told.values())
    assert set(updates) == {VICTIM}  # the others have not trained


def test_with_a_digest_by_name_the_sum_over_six_is_one_clients_update(grid, updates, monkeypatch):
    def by_name(metadata, run_config, content):
        arrays = sorted(content["arrays"].items())
        return digest_of([(name, array.data) for name, array in arrays])

    monkeypatch.setattr(seen, "content_digest", by_name)
    for end in ("client", "round"):
        monkeypatch.setattr(f"secagg.federation.{end}.model_digest", lambda arrays: digest_of(sorted(arrays.items())))
    monkeypatch.setattr("secagg.federation.client.fits", lambda *_: True)
    before, (outcome, found) = crafted(), run(grid)
    assert len(outcome.contributors) == NODES
    assert refusals(grid) == {}
    for place in (0, 2, 4):
        others = [updates[node][place] for node in updates if node != VICTIM]
        assert not np.any(others)
        read = (found[str(place)] - before[place]) * NODES
        true = updates[VICTIM][place]
        assert np.abs(read - true).max() <= outcome.error_bound[str(place)] * NODES
        assert outcome.error_bound[str(place)] * NODES < 0.05 * np.abs(true).max()
