"""Small updates and counters add up as in plain FedAvg, unless nearest rounding is asked for; coarse means are told."""

import numpy as np
import pytest
from flare_federation import Federation
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.workflows.fedavg import FedAvg

from secagg.adapters.nvflare import SecureFedAvg
from secagg.errors import OutOfRange
from secagg.federation.update import counter_clip
from secagg.testing import SeededEntropy

ROUNDS, SITES, BATCHES, MOVE = 10, 4, 3, 1e-3
MODEL = {"batches": np.zeros(1000, np.int64), "weights": np.zeros(4000)}
CLIP = {"batches": counter_clip(16), "*": 1.0}


def moving(weight):
    """A script's result: a few batches, and a step of `MOVE` in every parameter."""

    def result(site, received):
        moved = {"batches": received.params["batches"] + BATCHES, "weights": received.params["weights"] + MOVE}
        return FLModel(params=moved, meta={"NUM_STEPS_CURRENT_ROUND": weight})

    return result


def trained(folder, weight, **how):
    """(last model, outcomes) of a run; all noise is fixed."""
    federation = Federation(folder, SITES, result=moving(weight), entropy=SeededEntropy("sites"))
    controller = federation.run(ROUNDS, MODEL, entropy=SeededEntropy("server"), **{"clip": CLIP} | how)
    assert federation.fatal == []
    return federation.models[-1], controller.outcomes.values()


def deviation(update, clip, ratio):
    """Standard deviation of an entry's error after all rounds, each of which throws a biased coin of a step a site."""
    step = clip / 32767
    part = update / (step * ratio) % 1
    return step * ratio * np.sqrt(part * (1 - part) * ROUNDS / SITES)


def test_small_updates_track_plain_fedavg(tmp_path):
    plain = Federation(tmp_path / "plain", SITES, result=moving(50), secure=False)
    plain.run(ROUNDS, MODEL, kind=FedAvg)
    found, outcomes = trained(tmp_path / "default", 50, weight_max=500)
    for name, update, clip in [("batches", BATCHES, counter_clip(16)), ("weights", MOVE, 1.0)]:
        assert plain.models[-1][name] == pytest.approx(ROUNDS * update)
        error, expected = found[name] - plain.models[-1][name], deviation(update, clip, 10)
        assert abs(error.mean()) <= 4 * expected / np.sqrt(error.size)
        assert error.std() == pytest.approx(expected, rel=0.1)
        assert np.abs(error).max() <= sum(outcome.error_bound[name] for outcome in outcomes)


def test_a_model_that_nearest_rounding_never_moves(tmp_path):
    """Without weights alone: with them it would take the lighter sites' entries out of the sum, and is refused."""
    how = {"weight_max": None, "clip": {"batches": 1e4, "*": 100.0}}
    nearest, _ = trained(tmp_path / "nearest", 1, rounding="nearest", **how)
    found, _ = trained(tmp_path / "default", 1, **how)
    assert not nearest["weights"].any()
    assert found["weights"].mean() == pytest.approx(ROUNDS * MOVE, rel=0.05)
    with pytest.raises(OutOfRange, match="expected 'stochastic' where there are weights"):
        SecureFedAvg(weight_max=5, rounding="nearest")


@pytest.mark.parametrize("rounding", ["up", ""])
def test_another_rounding_is_refused_before_the_first_round(rounding):
    with pytest.raises(OutOfRange, match=f"rounding is {rounding!r}: expected 'nearest' or 'stochastic'"):
        SecureFedAvg(weight_max=5, rounding=rounding)


@pytest.mark.parametrize(
    ("how", "times"),
    [
        ({"weight_max": 16_500, "bits": 14}, 1),
        ({"weight_max": 4_000, "bits": 14}, 0),
        ({"weight_max": 16_500, "bits": 15}, 0),
    ],
)
def test_a_coarse_mean_is_said_once(tmp_path, caplog, how, times):
    Federation(tmp_path, SITES, result=moving(50)).run(3, {"batches": np.array(0), "weights": np.zeros(3)}, **how)
    found = [record.getMessage() for record in caplog.records if "of the clip" in record.getMessage()]
    assert len(found) == times
    assert all("weight_max is 100.0 times the mean weight" in text for text in found)
