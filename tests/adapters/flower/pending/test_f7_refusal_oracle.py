"""A client that cannot sum its own update says so, to the server and in its own name. That is one bit about its data,
and the server chooses the question.

It bisects `weight_max` over some rounds and reads every client's number of examples, which it should never see (it
would have their sum). And it sends a model that overflows in training exactly where a client holds a patient with one
feature above a bound: whoever answers `NotFinite` has such a patient. Active mode.

Closed when: a client whose input cannot be summed looks to the server like any client that was lost.
"""

import numpy as np
from federation import model_record
from flwr.app import Array, ArrayRecord, ConfigRecord
from lying import Federation, refusals, replied

NODES = 4
FEDERATION = Federation(NODES)
MOST = 128
EXAMPLES = {node: int(np.random.default_rng(node % 2**32).integers(1, MOST)) for node in FEDERATION.nodes}
ILL = FEDERATION.nodes[3]


def step(message, context):
    arrays = {name: array.numpy() + np.float32(0.1) for name, array in message.content["arrays"].items()}
    return replied(message, model_record(arrays), **{"num-examples": EXAMPLES[context.node_id]})


def test_bisecting_the_largest_weight_reads_every_number_of_examples():
    grid, rounds = FEDERATION.grid(step), 0
    least, most = dict.fromkeys(EXAMPLES, 1), dict.fromkeys(EXAMPLES, MOST)
    while least != most:
        node = next(node for node in EXAMPLES if least[node] < most[node])
        asked, rounds = (least[node] + most[node]) // 2, rounds + 1
        grid.replies.clear()
        FEDERATION.run(
            grid, model_record({"w": np.zeros(2, np.float32)}), ConfigRecord({"n": rounds}), weight_max=asked
        )
        above = {node for node, reason in refusals(grid).items() if reason.startswith("BadWeight")}
        for each in EXAMPLES:
            if each in above:
                least[each] = max(least[each], asked + 1)
            else:
                most[each] = min(most[each], asked)
    assert most == EXAMPLES
    assert rounds <= NODES * 7  # bits of a number of examples


def test_a_model_that_overflows_finds_the_one_client_with_such_a_patient():
    edge = np.float32(3e38)

    def train(message, context):
        """One step of a model with a threshold; the mean over all patients is what leaves."""
        model = message.content["arrays"]["w"].numpy()
        draw = np.random.default_rng(context.node_id % 2**32)
        patients = draw.uniform(-1, 1, (50, 4)).astype(np.float32)
        if context.node_id == ILL:
            patients[17, 2] = 3.5
        with np.errstate(all="ignore"):
            model = model + np.float32(1e-3) * (patients.T @ np.maximum(patients @ model - edge, 0)) / 50
        return replied(message, ArrayRecord({"w": Array(model)}), **{"num-examples": 50})

    grid, crafted = FEDERATION.grid(train), np.array([0, 0, 1.1e38, 0], np.float32)
    outcome, _ = FEDERATION.run(grid, ArrayRecord({"w": Array(crafted)}), weight_max=400)
    assert {node: reason.partition(":")[0] for node, reason in refusals(grid).items()} == {ILL: "NotFinite"}
    assert outcome.lost == {str(ILL): "masked"}
