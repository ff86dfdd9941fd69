"""The controller gets the exact weighted mean of those who trained, whoever is lost and wherever."""

import json

import numpy as np
import pytest
from flare_federation import JOB, MODEL, WEIGHT_MAX, Federation, close, mean_move, move_of, steps_of, trained
from hypothesis import given, settings
from hypothesis import strategies as st
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.workflows.fedavg import FedAvg
from nvflare.fuel.utils import fobs
from nvflare.fuel.utils.class_loader import get_class_name
from nvflare.fuel.utils.fobs.decomposer import DictDecomposer

from secagg.adapters.nvflare import SecureFedAvg, envelope
from secagg.adapters.nvflare.controller import OUTCOMES
from secagg.errors import ConfigError
from secagg.testing import SeededEntropy, small_keys
from secagg_protocols import PROTOCOLS

PHASES = ["keys", "shares", "masked", "unmask"]


def moved(sites, rounds, model=MODEL):
    """The model after each round, trained by `sites`."""
    for current_round in range(rounds):
        model = {name: array + mean_move(sites, current_round)[name] for name, array in model.items()}
        yield model


def test_the_wire_in_memory_encodes_as_nvflares_processes_do():
    """Otherwise this process could read no server's Shareable, and no test of a deployment could log in after this."""
    assert get_class_name(DictDecomposer).encode() in fobs.dumps(Shareable())


@pytest.mark.parametrize("scheme", sorted(PROTOCOLS))
def test_every_protocol_gives_the_weighted_mean(tmp_path, scheme):
    federation = Federation(tmp_path, 4)
    for name in federation.names:
        (tmp_path / name / "local" / "secagg.json").write_text(json.dumps({"protocols": [scheme]}))
    controller = federation.secure(2, scheme=scheme)
    assert federation.fatal == []
    for number, wanted in enumerate(moved(federation.names, 2)):
        outcome = controller.outcomes[number]
        assert outcome.failure is None
        assert outcome.contributors == set(federation.names)
        assert outcome.weight == sum(map(steps_of, federation.names))
        bound = {name: (number + 1) * value for name, value in outcome.error_bound.items()}
        close(federation.models[number], wanted, bound, number + 1)
    assert all(site.trainer.seen == ["train", "train"] for site in federation.sites.values())


def test_secure_equals_plain_fedavg_within_the_bound(tmp_path):
    plain, secure = Federation(tmp_path / "plain", 4, secure=False), Federation(tmp_path / "secure", 4)
    plain.run(3, kind=FedAvg)
    controller = secure.secure(3)
    for number, (wanted, found) in enumerate(zip(plain.models, secure.models, strict=True)):
        assert {name: array.dtype for name, array in found.items()} == {n: a.dtype for n, a in wanted.items()}
        bound = {name: (number + 1) * value for name, value in controller.outcomes[number].error_bound.items()}
        close(found, wanted, bound, 4 * (number + 1))


def check_pattern(folder, losses, how, threshold=3):
    """`losses`: the phase at which each site goes silent, or None."""
    federation = Federation(folder, len(losses))
    last = dict(zip(federation.names, losses, strict=True))
    order = {phase: number for number, phase in enumerate(PHASES)}
    federation.lose = lambda site, phase: how if last[site] and order[phase] >= order[last[site]] else None
    controller = federation.secure(options={"threshold": threshold})
    assert federation.fatal == []
    outcome = controller.outcomes[0]
    alive = [[site for site, phase in last.items() if phase is None or order[phase] > n] for n in range(4)]
    contributors = alive[2]
    if min(len(alive[1]), len(contributors), len(alive[3])) < threshold:
        assert "no sum was opened" in outcome.failure
        assert all((federation.models[0][name] == MODEL[name]).all() for name in MODEL)
        return
    assert outcome.failure is None
    assert outcome.contributors == set(contributors)
    assert outcome.lost == {site: phase for site, phase in last.items() if phase is not None}
    (wanted,) = moved(contributors, 1)
    close(federation.models[0], wanted, outcome.error_bound)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("how", ["silent", "error", "late", "damaged"])
def test_a_site_lost_at_any_trip(tmp_path, phase, how):
    check_pattern(tmp_path, [None, phase, None, None], how)


@settings(max_examples=15)
@given(st.lists(st.sampled_from([None, None, *PHASES]), min_size=5, max_size=5), st.sampled_from(["silent", "error"]))
def test_patterns_of_losses(tmp_path_factory, losses, how):
    check_pattern(tmp_path_factory.mktemp("pattern"), losses, how)


CIPHERTEXTS = {"paillier": ["deal", "encrypted", "decrypt"], "ckks": ["keys", "deal", "encrypted", "decrypt"]}


def ciphertexts(folder, scheme, lose=lambda site, phase: None):
    """(federation, controller) of one round; the server draws the same session every time."""
    federation = Federation(folder, 4)
    for name in federation.names:
        (folder / name / "local" / "secagg.json").write_text(json.dumps({"protocols": [scheme]}))
    federation.lose = lose
    options = {"key_bits": 1024} if scheme == "paillier" else {}
    with small_keys(1024):
        return federation, federation.secure(scheme=scheme, options=options, entropy=SeededEntropy("nvflare"))


def asked_at(federation, phase):
    return {site for at, site, _ in federation.wire.tasks if at == phase}


@pytest.mark.parametrize("lost", ["site-1", "site-2", "site-3", "site-4"])
@pytest.mark.parametrize(
    ("scheme", "phase"), [(scheme, phase) for scheme in CIPHERTEXTS for phase in CIPHERTEXTS[scheme]]
)
def test_ciphertexts_and_a_site_lost_at_any_trip(tmp_path, scheme, phase, lost):
    """Exact over the others; or, where the one site that holds the round's Paillier key is lost, a named error."""
    phases = CIPHERTEXTS[scheme]
    whole, _ = ciphertexts(tmp_path / "whole", scheme)
    federation, controller = ciphertexts(
        tmp_path / "lossy",
        scheme,
        lambda site, at: "silent" if site == lost and phases.index(at) >= phases.index(phase) else None,
    )
    assert federation.fatal == []
    outcome = controller.outcomes[0]
    if scheme == "paillier" and phase != "deal" and asked_at(whole, "decrypt") == {lost}:
        assert "key holders" in outcome.failure
        assert all((federation.models[0][name] == MODEL[name]).all() for name in MODEL)
        return
    asked = [at for at in phases[phases.index(phase) :] if lost in asked_at(federation, at)]
    contributors = [site for site in federation.names if site != lost or asked in ([], ["decrypt"])]
    assert outcome.lost == ({lost: asked[0]} if asked else {})
    assert outcome.contributors == set(contributors)
    (wanted,) = moved(contributors, 1)
    close(federation.models[0], wanted, outcome.error_bound)


def test_sites_whose_processes_end_between_two_tasks(tmp_path):
    """The simulator with fewer threads than sites: what each process knew lies in its run folder meanwhile."""
    federation = Federation(tmp_path, 4, swapping=True)
    federation.lose = lambda site, phase: "silent" if (site, phase) == ("site-3", "masked") else None
    controller = federation.secure(2, options={"threshold": 3})
    assert [len(outcome.contributors) for outcome in controller.outcomes.values()] == [3, 3]
    assert not list(tmp_path.glob(f"site-[124]/{JOB}/secagg.swapped"))


def test_a_round_takes_four_trips_and_the_model_travels_once(tmp_path):
    federation = Federation(tmp_path, 3)
    federation.secure()
    assert federation.trips == PHASES
    with_model = {phase for phase, _, data in federation.wire.tasks if "DXO" in data}
    assert with_model == {"masked"}
    assert {data["DXO"] is not None for phase, _, data in federation.wire.tasks if phase == "masked"} == {True}


def test_replies_hold_nothing_but_the_protocols_bytes(tmp_path):
    federation = Federation(tmp_path, 3)
    federation.secure(metrics={"loss": 1.0})
    for result in federation.wire.results:
        assert set(result) - {"__headers__"} == {envelope.KEY}
        assert "loss" not in repr(result)
        assert "NUM_STEPS" not in repr(result)


def test_named_metrics_are_averaged_and_others_stay(tmp_path):
    federation = Federation(tmp_path, 3)
    controller = federation.secure(metrics={"loss": 1.0})
    wanted = np.mean([0.25 * (steps_of(site) % 4) for site in federation.names])  # whatever they weigh
    assert set(federation.metrics[0]) == {"loss"}
    assert abs(federation.metrics[0]["loss"] - wanted) <= controller.outcomes[0].error_bound["metrics/loss"]


def without_steps(site, received):
    result = trained(site, received)
    return FLModel(params=result.params, metrics=result.metrics)


def test_scripts_that_send_no_steps_are_named_as_the_cause(tmp_path, caplog):
    federation = Federation(tmp_path, 3, result=without_steps)
    outcome = federation.secure().outcomes[0]
    assert (outcome.failure, outcome.abstained, len(outcome.contributors)) == (None, 3, 3)
    assert "do the scripts send NUM_STEPS_CURRENT_ROUND in FLModel.meta, a whole number of 1 or more?" in caplog.text
    assert "weight_max=None asks for no weights" in caplog.text
    assert "with weight_max=None the server asks for none" in caplog.text  # at each site


@pytest.mark.parametrize(("steps", "counted"), [(0, 4), (1, 4)])
def test_a_site_without_examples_abstains(tmp_path, steps, counted):
    """What is below the least weight that this sum has, 4, counts as that."""

    def result(site, received):
        if site != "site-1":
            return trained(site, received)
        return FLModel(params=received.params, meta={"NUM_STEPS_CURRENT_ROUND": steps})

    federation = Federation(tmp_path, 4, result=result)
    outcome, others = federation.secure().outcomes[0], federation.names[1:]
    total = sum(map(steps_of, others))
    assert outcome.lost == {}
    assert outcome.abstained == (steps == 0)
    assert outcome.weight == total + counted
    move = mean_move(others, 0)
    wanted = {name: array + move[name] * total / (total + counted) for name, array in MODEL.items()}
    close(federation.models[0], wanted, outcome.error_bound)


def test_an_unweighted_mean_asks_for_no_steps(tmp_path):
    federation = Federation(tmp_path, 3, result=without_steps)
    controller = federation.secure(weight_max=None)
    assert controller.outcomes[0].weight == 3
    wanted = {n: a + np.mean([move_of(s, 0, a.shape) for s in federation.names], 0) for n, a in MODEL.items()}
    close(federation.models[0], wanted, controller.outcomes[0].error_bound)


@pytest.mark.parametrize("cause", ["numbers", "silence"])
def test_other_causes_are_not_taken_for_missing_steps(tmp_path, caplog, cause):
    def no_numbers(site, received):
        return FLModel(params={name: array * np.nan for name, array in received.params.items()})

    federation = Federation(tmp_path, 3, result=no_numbers if cause == "numbers" else None)
    if cause == "silence":
        federation.lose = lambda site, phase: "silent" if phase == "masked" else None
    outcome = federation.secure(weight_max=None if cause == "numbers" else WEIGHT_MAX).outcomes[0]
    assert (outcome.abstained, outcome.failure is None) == ((3, True) if cause == "numbers" else (0, False))
    assert "do the scripts send" not in caplog.text


def test_unweighted_mean(tmp_path):
    federation = Federation(tmp_path, 3)
    controller = federation.secure(weight_max=None)
    assert controller.outcomes[0].weight == 3
    wanted = {n: a + np.mean([move_of(s, 0, a.shape) for s in federation.names], 0) for n, a in MODEL.items()}
    close(federation.models[0], wanted, controller.outcomes[0].error_bound)


def test_differences_of_weights_are_taken_as_they_are(tmp_path):
    def differences(site, received):
        before = {name: array.copy() for name, array in received.params.items()}
        after = trained(site, received)
        params = {name: array - before[name] for name, array in after.params.items()}
        return FLModel(params_type="DIFF", params=params, meta=after.meta)

    federation = Federation(tmp_path, 3, result=differences)
    controller = federation.secure()
    (wanted,) = moved(federation.names, 1)
    close(federation.models[0], wanted, controller.outcomes[0].error_bound)


def test_counters_are_averaged(tmp_path):
    model = {"weights": MODEL["weights"], "batches": np.array(7), "seen": np.array([True, False])}

    def count(site, received):
        params = {**received.params, "batches": received.params["batches"] + steps_of(site)}
        return FLModel(params=params, meta={"NUM_STEPS_CURRENT_ROUND": steps_of(site)})

    federation = Federation(tmp_path, 3, result=count)
    controller = federation.run(2, model, weight_max=WEIGHT_MAX, bits=20, clip={"seen": 1.0, "*": 0.5})
    weights = [steps_of(site) for site in federation.names]
    wanted = 7 + 2 * sum(w * w for w in weights) / sum(weights)
    slack = sum(outcome.error_bound["batches"] for outcome in controller.outcomes.values())
    assert abs(float(federation.models[1]["batches"]) - wanted) <= slack + 1e-9
    assert all(outcome.saturated == 0 for outcome in controller.outcomes.values())


def test_clipped_entries_are_counted(tmp_path):
    federation = Federation(tmp_path, 3)
    assert federation.secure(clip={"bias": 1e-4, "*": 0.5}).outcomes[0].saturated == 9


def test_too_few_sites_are_not_asked(tmp_path):
    federation = Federation(tmp_path, 3)
    controller = SecureFedAvg(num_clients=3, num_rounds=1, persistor_id="", model=dict(MODEL), weight_max=5)
    federation.names.pop()
    federation.control(controller)
    assert federation.wire.tasks == []
    assert "2 sites sampled, 3 needed" in controller.outcomes[0].failure
    assert all((federation.models[0][name] == MODEL[name]).all() for name in MODEL)


def test_timeouts_of_training_and_of_the_rest(tmp_path):
    federation = Federation(tmp_path, 3)
    federation.secure(train_timeout=9, phase_timeout=2)
    assert dict(federation.wire.timeouts) == {"keys": 2, "shares": 2, "masked": 9, "unmask": 2}


def test_outcomes_are_written_to_the_run_folder(tmp_path):
    controller = Federation(tmp_path, 3).secure(2)
    written = json.loads((tmp_path / "server" / JOB / OUTCOMES).read_text())
    assert {int(number): each["weight"] for number, each in written.items()} == {
        number: each.weight for number, each in controller.outcomes.items()
    }


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"scheme": "secag"}, "scheme 'secag' is unknown"),
        ({"options": {"threshold": {1}}}, "do not fit JSON"),
        ({"min_cohort": 1}, "min_cohort is 1"),
        ({"phase_timeout": -1}, "phase_timeout is -1"),
        ({"train_timeout": 1.5}, r"train_timeout is 1\.5"),
        ({"bits": 40}, "bits is 40"),
        ({"weight_max": 0}, "weight_max is 0"),
        ({"clip": 0.0}, "clip"),
        ({"metrics": {"loss": 0}}, "clip"),
        ({"options": {"thresold": 3}}, "options of 'secagg': no 'thresold'"),
        ({"aggregator": object()}, "an aggregator of your own"),
        ({"aggregation_weights": {"site-1": 2.0}}, "aggregation_weights"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_round(how, match):
    with pytest.raises(ConfigError, match=match):
        SecureFedAvg(**{"weight_max": 5, **how})


@pytest.mark.parametrize(
    ("model", "how", "match"),
    [
        (MODEL, {"clip": {"wieghts": 1.0, "*": 1.0}}, "no array named 'wieghts'"),
        ({"words": np.array(["a"])}, {}, "parameter 'words'"),
    ],
)
def test_what_no_sum_can_serve_ends_the_job(tmp_path, model, how, match):
    federation = Federation(tmp_path, 3)
    federation.run(1, model, **{"weight_max": 5, **how})
    assert len(federation.fatal) == 1
    assert match in federation.fatal[0]


def test_an_aborted_job_stops(tmp_path):
    federation = Federation(tmp_path, 3)
    federation.lose = lambda site, phase: federation.abort()
    controller = SecureFedAvg(
        num_clients=3, num_rounds=1, persistor_id="", model=dict(MODEL), weight_max=5, task_check_period=0.01
    )

    def abort():
        controller.abort_signal.trigger(True)
        return "silent"

    federation.abort = abort
    federation.control(controller)
    assert "aborted" in federation.fatal[0]
    assert federation.models == []
