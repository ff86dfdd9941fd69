"""What docs/nvflare.md says beside all this: defaults, the file of outcomes, the one result, what is no plain array."""

import inspect
import json
import re
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest
from flare_federation import JOB, MODEL, Federation
from nvflare.apis.dxo import MetaKey
from nvflare.apis.fl_constant import ReturnCode
from nvflare.app_common.abstract.fl_model import ParamsType
from test_nvflare_rounds import ciphertexts
from test_nvflare_site import held_at, refusal

from secagg import Policy
from secagg.adapters.nvflare import SecureFedAvg, secure_aggregation
from secagg.adapters.nvflare.controller import OUTCOMES
from secagg.adapters.nvflare.site import Site, _File

PAGE = Path(__file__).parents[3] / "docs" / "nvflare.md"


def test_a_model_that_a_filter_has_packed_is_not_trained(tmp_path, caplog):
    federation, held = held_at(tmp_path, "masked")
    held["site-1"]["DXO"]["meta"][MetaKey.PROCESSED_ALGORITHM] = "HE"
    code, log = refusal(federation, held["site-1"], caplog)
    assert code == ReturnCode.TASK_DATA_FILTER_ERROR
    assert "weights that a filter has encrypted or packed, expected plain arrays" in log
    assert federation.sites["site-1"].trainer.seen == []


def test_weights_that_start_as_integer_zeros_end_the_job(tmp_path):
    federation = Federation(tmp_path, 3)
    federation.secure(model={"w": np.zeros(3, int)})
    assert "arrays ['w'] hold integers: weights have to start as floats" in federation.fatal[0]


def test_the_file_of_outcomes_tells_what_the_page_lists(tmp_path):
    federation = Federation(tmp_path, 4)
    federation.lose = lambda site, phase: "silent" if (site, phase) == ("site-4", "masked") else None
    federation.secure(metrics={"loss": 1e-3}, clip=0.25, options={"threshold": 3})
    told = json.loads((tmp_path / "server" / JOB / OUTCOMES).read_text())["0"]
    assert (told["contributors"], told["lost"]) == (["site-1", "site-2", "site-3"], {"site-4": "masked"})
    assert (told["left_out"], told["abstained"], told["weight"]) == ([], 0, 27 + 34 + 41)
    assert set(told["error_bound"]) == {*MODEL, "metrics/loss"}
    assert told["saturated"] > 0
    assert (told["reporting"], told["clipped_metrics"]) == ({"loss": 3}, ["loss"])


def test_fedavg_gets_one_result_of_weight_1(tmp_path):
    results = []

    class Watched(SecureFedAvg):
        def _aggregate_one_result(self, result):
            results.append(result)
            super()._aggregate_one_result(result)

    federation = Federation(tmp_path, 3)
    federation.secure(metrics={"loss": 1.0}, kind=Watched)
    (result,) = results
    assert (result.params_type, set(result.params)) == (ParamsType.DIFF, set(MODEL))
    assert set(result.metrics) == {"loss"}
    assert MetaKey.NUM_STEPS_CURRENT_ROUND not in result.meta  # which is a weight of 1 to FedAvg


def test_the_pages_defaults_of_a_sites_file(tmp_path):
    table = PAGE.read_text("utf-8").partition("| field | default | |\n|---|---|---|\n")[2].partition("\n\n")[0]
    said = {names.strip(): default.strip() for _, names, default, *_ in (row.split("|") for row in table.splitlines())}
    policy, file = Policy(), _File()
    assert said["`min_cohort`, `min_threshold`"] == f"{policy.min_cohort}, {policy.min_threshold}"
    assert (said["`max_dim`, `max_size`"], policy.max_dim, policy.max_size) == ("2**28, 2**24", 2**28, 2**24)
    assert said["`weight_ratio`, `levels`"] == f"{policy.weight_ratio}, {policy.levels}"
    assert said["`clip`, `bits`"] == "{:g}..{:g}, {}..{}".format(*policy.clip, *policy.bits)
    assert json.loads(said["`protocols`"].strip("`")) == list(file.protocols)
    assert json.loads(said["`unusable`"].strip("`")) == file.unusable
    assert (file.saturation, file.metrics, policy.weights) == (0.25, {}, None)
    assert Site(tmp_path, "site-1").limits().policy == policy
    fields = {*inspect.signature(Policy).parameters, *(field.name for field in msgspec.structs.fields(_File))}
    assert set(re.findall(r"`(\w+)`", " ".join(said))) == fields


def test_the_pages_defaults_of_a_recipe():
    given = inspect.signature(SecureFedAvg.__init__).parameters | inspect.signature(secure_aggregation).parameters
    stated = {"weight_min": None, "bits": 16, "rounding": "stochastic", "scheme": "secagg", "max_late": 0.25}
    stated |= {"train_timeout": 0, "phase_timeout": 0, "poll": 0.5}
    assert {name: given[name].default for name in stated} == stated


@pytest.mark.parametrize(
    ("scheme", "tasks"),
    [
        ("paillier", [("deal", 3), ("encrypted", 4), ("decrypt", 1)]),
        ("ckks", [("keys", 4), ("deal", 3), ("encrypted", 4), ("decrypt", 3)]),
    ],
)
def test_every_protocol_takes_the_tasks_that_the_page_tells(tmp_path, scheme, tasks):
    federation, controller = ciphertexts(tmp_path, scheme)
    assert controller.outcomes[0].failure is None
    assert list(Counter(phase for phase, _, _ in federation.wire.tasks).items()) == tasks
