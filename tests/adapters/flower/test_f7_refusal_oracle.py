"""A client that says, in its own name, that it cannot sum its update gives one bit about its data, and the server
chooses the question.

It bisects `weight_max` over some rounds, to read every client's number of examples. And it sends a model that overflows
in training exactly where a client holds a patient with one feature above a bound. Clients weigh within the range that
they declared, refuse by that alone, and abstain inside the sum where they have nothing to sum: whose update was left
out nobody learns. Clients that fall silent instead (`secagg-unusable`), and do not clamp, are read.
"""

import numpy as np
from federation import MemoryGrid, client_app, model_record
from flwr.app import Array, ArrayRecord, ConfigRecord
from flwr.serverapp.strategy import FedAvg
from lying import Federation, refusals, replied

from secagg import Policy
from secagg.adapters.flower import SecureAggregation

NODES = 4
FEDERATION = Federation(NODES)
MOST = 100
EXAMPLES = {node: int(np.random.default_rng(node % 2**32).integers(1, MOST)) for node in FEDERATION.nodes}
ILL = FEDERATION.nodes[3]
SILENT = {"secagg-unusable": "silent"}


def step(message, context):
    arrays = {name: array.numpy() + np.float32(0.1) for name, array in message.content["arrays"].items()}
    return replied(message, model_record(arrays), **{"num-examples": EXAMPLES[context.node_id]})


def bisected(ask):
    """{node: number of examples}, by the nodes above a weight that `ask` returns; and how many questions it took."""
    least, most, rounds = dict.fromkeys(EXAMPLES, 1), dict.fromkeys(EXAMPLES, MOST), 0
    while least != most and rounds < NODES * 7:  # bits of a number of examples
        node = next(node for node in EXAMPLES if least[node] < most[node])
        asked, rounds = (least[node] + most[node]) // 2, rounds + 1
        above = ask(asked)
        for each in EXAMPLES:
            if each in above:
                least[each] = max(least[each], asked + 1)
            else:
                most[each] = min(most[each], asked)
    return least, most


def test_no_question_about_weights_is_answered_by_some_clients_and_not_by_others():
    grid = FEDERATION.grid(step, weights=f"1,{MOST}")

    def ask(asked):
        grid.replies.clear()
        config = ConfigRecord({"n": asked})
        outcome, _ = FEDERATION.run(grid, model_record({"w": np.full(2, asked, np.float32)}), config, weight_max=asked)
        told = refusals(grid)
        assert len(set(told.values())) == (asked < MOST)  # the range that all of them declare is not in the session's
        assert outcome.weight == (0 if told else sum(EXAMPLES.values()))
        return set(told)

    ask(MOST)
    assert bisected(ask)[1] != EXAMPLES


def test_of_clients_that_do_not_clamp_and_fall_silent_every_number_of_examples_is_read(monkeypatch):
    monkeypatch.setattr(Policy, "clamped", lambda self, weight: weight)
    grid = MemoryGrid({node: client_app(train=step) for node in FEDERATION.nodes}, node_config=SILENT)

    def ask(asked):
        grid.replies.clear()
        strategy = SecureAggregation(FedAvg(fraction_evaluate=0.0), weight_max=asked, weight_min=1)
        strategy.start(grid, model_record({"w": np.zeros(2, np.float32)}), num_rounds=1)
        return {node for node, reason in refusals(grid).items() if reason.startswith("InputError")}

    least, most = bisected(ask)
    assert least == most == EXAMPLES


EDGE = np.float32(3e38)


def overflowing(message, context):
    """One step of a model with a threshold; the mean over all patients is what leaves."""
    model = message.content["arrays"]["w"].numpy()
    draw = np.random.default_rng(context.node_id % 2**32)
    patients = draw.uniform(-1, 1, (50, 4)).astype(np.float32)
    if context.node_id == ILL:
        patients[17, 2] = 3.5
    with np.errstate(all="ignore"):
        model = model + np.float32(1e-3) * (patients.T @ np.maximum(patients @ model - EDGE, 0)) / 50
    return replied(message, ArrayRecord({"w": Array(model)}), **{"num-examples": 50})


def run(**node_config):
    grid = FEDERATION.grid(overflowing)
    grid.node_config |= node_config
    crafted = np.array([0, 0, 1.1e38, 0], np.float32)
    return grid, FEDERATION.run(grid, ArrayRecord({"w": Array(crafted)}), weight_max=400)[0]


def sizes(grid):
    """{node: bytes of each of its replies}"""
    return {
        node: [
            len(array.data)
            for reply in grid.replies
            if reply.metadata.src_node_id == node
            for array in reply.content["secagg.frames"].values()
        ]
        for node in grid.apps
    }


def test_a_model_that_overflows_finds_nobody(caplog):
    grid, outcome = run()
    assert refusals(grid) == {}
    assert (outcome.failure, outcome.lost, outcome.abstained) == (None, {}, 1)
    assert outcome.contributors == set(map(str, FEDERATION.nodes))
    assert outcome.weight == 50 * NODES
    found = sizes(grid)
    assert len(found[ILL]) == 5
    assert found[ILL] == found[FEDERATION.nodes[0]]
    assert "NotFinite" in caplog.text  # in the client's own log


def test_of_clients_that_fall_silent_it_finds_the_one_with_such_a_patient():
    grid, outcome = run(**SILENT)
    assert {node: reason.partition(":")[0] for node, reason in refusals(grid).items()} == {ILL: "InputError"}
    assert outcome.lost == {str(ILL): "masked"}
