"""Small updates and counters add up as in plain FedAvg, unless nearest rounding is asked for; coarse means are told."""

import logging

import numpy as np
import pytest
from federation import arrays_of, grid_of, model_record
from flwr.app import Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower

from secagg import Policy
from secagg.adapters.flower import SecAggMod, SecureAggregation
from secagg.errors import OutOfRange
from secagg.federation.update import counter_clip
from secagg.testing import SeededEntropy

ROUNDS, NODES, BATCHES, MOVE = 10, 4, 3, 1e-3
MODEL = {"batches": np.zeros(1000, np.int64), "weights": np.zeros(4000)}
CLIP = {"batches": counter_clip(16), "*": 1.0}


def fedavg():
    return flower.FedAvg(fraction_evaluate=0.0)


def moving(weight):
    """A train function: a few batches, and a step of `MOVE` in every parameter."""

    def train(message, context):
        arrays = arrays_of(message.content["arrays"])
        moved = {"batches": arrays["batches"] + BATCHES, "weights": arrays["weights"] + MOVE}
        metrics = MetricRecord({"num-examples": weight})
        return Message(RecordDict({"arrays": model_record(moved), "metrics": metrics}), reply_to=message)

    return train


LAX = Policy(weight_ratio=500, levels=1)
"""Of clients that agree to weights far apart."""


def trained(weight, rounds=ROUNDS, **how):
    """(model, strategy) after `rounds`; all noise is fixed."""
    grid = grid_of(NODES, train=moving(weight), mods=(SecAggMod(entropy=SeededEntropy("nodes")),))
    strategy = SecureAggregation(fedavg(), entropy=SeededEntropy("server"), **{"clip": CLIP, **how})
    return arrays_of(strategy.start(grid, model_record(MODEL), num_rounds=rounds).arrays), strategy


def plain(weight):
    grid = grid_of(NODES, train=moving(weight), mods=())
    return arrays_of(fedavg().start(grid, model_record(MODEL), num_rounds=ROUNDS).arrays)


def deviation(update, clip, ratio, bits=16):
    """Standard deviation of an entry's error after all rounds, each of which throws a biased coin of a step a node."""
    step = clip / (2 ** (bits - 1) - 1)
    part = update / (step * ratio) % 1
    return step * ratio * np.sqrt(part * (1 - part) * ROUNDS / NODES)


@pytest.mark.parametrize(("weight", "weight_max"), [(100, 500), (50, 500), (100, 10_000)])
def test_small_updates_track_plain_fedavg(weight, weight_max):
    found, strategy = trained(weight, weight_max=weight_max)
    wanted, ratio = plain(weight), weight_max / weight
    for name, update, clip in [("batches", BATCHES, counter_clip(16)), ("weights", MOVE, 1.0)]:
        assert wanted[name] == pytest.approx(ROUNDS * update)
        error, expected = found[name] - wanted[name], deviation(update, clip, ratio)
        assert abs(error.mean()) <= 4 * expected / np.sqrt(error.size)
        assert error.std() == pytest.approx(expected, rel=0.1)
        assert np.abs(error).max() <= sum(outcome.error_bound[name] for outcome in strategy.outcomes.values())


@pytest.mark.parametrize("clip", [1.0, 100.0])
def test_nearest_rounding_loses_the_same_part_in_every_round(clip):
    """The weakened twin, within its stated bound all the while: at a clip of 100 nothing ever moves."""
    found, strategy = trained(1, weight_max=None, clip={**CLIP, "weights": clip}, rounding="nearest")
    error = found["weights"] - ROUNDS * MOVE
    assert abs(error.mean()) > 10 * deviation(MOVE, clip, 1) / np.sqrt(error.size)
    assert np.abs(error).max() <= sum(outcome.error_bound["weights"] for outcome in strategy.outcomes.values())
    assert found["weights"].any() == (clip == 1.0)


def test_nearest_rounding_goes_with_no_weights():
    """What a light client sends would be zero, and the sum the heavy ones' alone."""
    with pytest.raises(OutOfRange, match="expected 'stochastic' where there are weights"):
        SecureAggregation(fedavg(), weight_max=500, rounding="nearest")


def test_integers_without_weights_lose_nothing():
    for rounding in ("stochastic", "nearest"):
        found, _ = trained(1, weight_max=None, rounding=rounding)
        assert found["batches"] == pytest.approx(ROUNDS * BATCHES, abs=1e-9)


def test_the_stated_bound_is_twice_that_of_nearest_rounding():
    bounds = [
        trained(50, 1, **how)[1].outcomes[1].error_bound["weights"]
        for how in ({"weight_max": 500}, {"weight_max": None}, {"weight_max": None, "rounding": "nearest"})
    ]
    assert bounds[0] == pytest.approx(10 * bounds[1], rel=1e-9)
    assert bounds[1] == pytest.approx(2 * bounds[2], rel=1e-9)
    assert bounds[1] == pytest.approx(1 / 32767, rel=1e-9)


@pytest.mark.parametrize("rounding", ["up", ""])
def test_another_rounding_is_refused_before_the_first_round(rounding):
    with pytest.raises(OutOfRange, match=f"rounding is {rounding!r}: expected 'nearest' or 'stochastic'"):
        SecureAggregation(fedavg(), weight_max=500, rounding=rounding)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"weight_max": 16_500}, "weight_max is 330.0 times the mean weight"),
        ({"weight_max": 16_200}, None),
        ({"weight_max": 16_500, "bits": 17}, None),
    ],
)
def test_a_coarse_mean_is_said_once_a_run(caplog, how, said):
    strategy = SecureAggregation(fedavg(), weight_min=50, **how)
    model = {"batches": np.array(0), "weights": np.zeros(3)}
    for run in (1, 2):
        with caplog.at_level(logging.WARNING, "flwr.secagg"):
            grid = grid_of(NODES, train=moving(50), mods=(SecAggMod(LAX),))
            strategy.start(grid, model_record(model), num_rounds=3)
        found = [record.getMessage() for record in caplog.records if "of the clip" in record.getMessage()]
        assert len(found) == (run if said else 0)
        assert all(said in text for text in found)
