"""What a site cannot sum costs the sum that update and tells nobody whose it was; training that fails is a loss."""

import numpy as np
import pytest
from flare_federation import MODEL, WEIGHT_MAX, Federation, Trainer, envelope
from nvflare.apis.dxo import MetaKey
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import make_reply
from test_nvflare_site import answer, held_at, refusal, result_of

SEVEN = {"NUM_STEPS_CURRENT_ROUND": 7}
BAD_INPUT = {
    "fractional weight": (result_of(meta={"NUM_STEPS_CURRENT_ROUND": 7.25}), "BadWeight"),
    "no weight": (result_of(meta={}), "BadWeight"),
    "not a number": (
        result_of({**MODEL, "bias": np.array([0.0, np.nan, 0.0])}, SEVEN),
        "NotFinite",
    ),
    "another shape": (result_of({**MODEL, "bias": np.zeros(4)}, SEVEN), "ShapeMismatch"),
    "a parameter missing": (result_of({"bias": np.zeros(3)}, SEVEN), "ShapeMismatch"),
    "complex": (result_of({**MODEL, "bias": np.zeros(3, complex)}, SEVEN), "BadDtype"),
    "a text": (result_of({**MODEL, "bias": "0"}, SEVEN), "BadDtype"),
    "encrypted": (result_of(meta={"NUM_STEPS_CURRENT_ROUND": 7, MetaKey.PROCESSED_ALGORITHM: "HE"}), "InputError"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_the_server_does_not_learn_whose_input_was_bad(tmp_path, caplog, name):
    """Such a site abstains: its reply looks like any other's."""
    train, kind = BAD_INPUT[name]
    federation, held = held_at(tmp_path, "masked", result=train)
    bad = answer(federation, "site-1", held["site-1"])
    federation.sites["site-2"].trainer.result = result_of(meta=SEVEN)
    good = answer(federation, "site-2", held["site-2"])
    assert seen_of(bad) == seen_of(good)
    assert kind in caplog.text


@pytest.mark.parametrize("name", BAD_INPUT)
def test_or_that_it_was_where_a_site_would_rather_be_lost(tmp_path, caplog, name):
    train, kind = BAD_INPUT[name]
    federation, held = held_at(tmp_path, "masked", result=train, site_file={"unusable": "silent"})
    code, log = refusal(federation, held["site-1"], caplog)
    assert code == ReturnCode.TASK_RESULT_FILTER_ERROR
    assert kind in log


def seen_of(result):
    """All that a server sees of a result but the vector's entries: return code, entries, length."""
    return result.get_return_code(), set(result), len(result[envelope.KEY])


@pytest.mark.parametrize("steps", [1, 77123])
def test_a_weight_outside_its_range_counts_as_the_nearer_end(tmp_path, steps):
    federation = Federation(tmp_path, 3, result=result_of(meta={"NUM_STEPS_CURRENT_ROUND": steps}))
    assert federation.secure().outcomes[0].weight == 3 * (4 if steps == 1 else WEIGHT_MAX)


@pytest.mark.parametrize("metrics", [None, {}, {"loss": [1.0]}, {"loss": float("nan")}])
def test_a_metric_that_the_server_named_and_the_site_has_not(tmp_path, metrics):
    def train(site, received):
        return result_of(meta=SEVEN, metrics=metrics if site == "site-1" else {"loss": 0.5})(site, received)

    outcome = Federation(tmp_path, 4, result=train).secure(metrics={"loss": 1.0}).outcomes[0]
    assert (len(outcome.contributors), outcome.abstained, outcome.reporting) == (4, 0, {"loss": 3})


@pytest.mark.parametrize("fails", [ReturnCode.EXECUTION_EXCEPTION, None], ids=["code", "exception"])
def test_training_that_fails_is_a_loss(tmp_path, fails):
    """A server can make it fail at any site, by an event: if that counted as taken part, it could pick who remains."""

    class Failing(Trainer):
        def execute(self, *args):
            if fails is None:
                raise ValueError("no scan")
            return make_reply(fails)

    federation = Federation(tmp_path, 4)
    federation.sites["site-1"].trainer.__class__ = Failing
    outcome = federation.secure().outcomes[0]
    assert outcome.lost == {"site-1": "masked"}
    assert outcome.abstained == 0
