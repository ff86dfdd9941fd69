import os
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from secagg.errors import BadCohort, BadWeight, NotFinite, SecaggError
from secagg.fedavg import (
    Cohort,
    LogisticRegression,
    Metrics,
    Patients,
    Perceptron,
    Training,
    cohort_size,
    secure,
    train,
)
from secagg.fedavg.loop import check_mean
from secagg.fedavg.secure import draw_losses
from secagg.fedavg.seeds import Purpose, stream

OPTIONS = Training(rounds=3, dropout=0.0, weight_max=64, weight_min=1)


def patients(count, seed, features=3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, features))
    return Patients(x, (x[:, 0] + 0.3 * rng.normal(size=count) > 0).astype(np.float64))


def cohort(clients=5):
    return {f"hospital-{number:02}": patients(10 + 5 * number, number) for number in range(1, clients + 1)}


HELD_OUT = patients(40, 99)


def delta(model, hospitals, options, number, name, params):
    """One hospital's clipped update in one round."""
    local = model.fit(
        params,
        hospitals[name].x,
        hospitals[name].y,
        options.sgd,
        stream(options.seed, Purpose.BATCHES, number, list(hospitals).index(name)),
    )
    return {key: np.clip(local[key] - params[key], -options.clip, options.clip) for key in params}


def reference(model, hospitals, options, contributors):
    """FedAvg in a few lines; `contributors` {round number: names} leaves out the void rounds."""
    params = model.init(3, stream(options.seed, Purpose.INIT))
    for number, names in contributors.items():
        deltas = [delta(model, hospitals, options, number, name, params) for name in names]
        weights = [len(hospitals[name].y) for name in names]
        params = {
            key: value + np.average([each[key] for each in deltas], axis=0, weights=weights)
            for key, value in params.items()
        }
    return params


def valid_rounds(trained):
    return [record for record in trained.rounds if record.sum.too_few is None]


@pytest.mark.parametrize("model", [LogisticRegression(), Perceptron(hidden=4)], ids=repr)
def test_plain_fedavg_is_the_textbook_s_and_secure_fedavg_follows(scheme, model):
    options = replace(OPTIONS, bits=32, clip=0.05)
    hospitals = cohort()
    trained = train(model, Cohort(hospitals, HELD_OUT), scheme, options)
    expected = reference(model, hospitals, options, dict.fromkeys((1, 2, 3), tuple(hospitals)))
    for key, value in expected.items():
        assert_allclose(trained.plain[key], value, rtol=1e-12, atol=1e-15)
        assert_allclose(trained.secure[key], value, atol=1e-6)
    assert sum(record.sum.saturated for record in trained.rounds) > 0  # the clip was in force


@pytest.mark.parametrize("bits", [12, 16, 32])
def test_every_round_s_gap_is_within_its_bound(scheme, bits):
    options = replace(OPTIONS, bits=bits, dropout=0.1)
    trained = train(LogisticRegression(), Cohort(cohort(), HELD_OUT), scheme, options)
    assert valid_rounds(trained)
    for record in valid_rounds(trained):
        assert 0 <= record.gap <= record.bound


def test_the_lost_are_left_out_and_void_rounds_change_nothing(scheme):
    options = replace(OPTIONS, rounds=8, bits=32, dropout=0.35, seed=4)
    hospitals = cohort()
    trained = train(LogisticRegression(), Cohort(hospitals, HELD_OUT), scheme, options)
    valid = valid_rounds(trained)
    assert 0 < len(valid) < 8
    last = scheme.phases[-1].name
    for record in valid:
        gone = {name for name, phase in record.sum.lost.items() if phase != last}
        assert set(record.sum.contributors) == set(hospitals) - gone
    contributors = {record.number: record.sum.contributors for record in valid}
    expected = reference(LogisticRegression(), hospitals, options, contributors)
    assert_allclose(trained.plain["weights"], expected["weights"], rtol=1e-12)
    assert_allclose(trained.secure["weights"], expected["weights"], atol=1e-6)


def test_a_void_round_is_reported_and_keeps_both_models(scheme):
    seen = []
    options = replace(OPTIONS, dropout=1.0)
    trained = train(LogisticRegression(), Cohort(cohort(), HELD_OUT), scheme, options, on_round=seen.append)
    assert tuple(seen) == trained.rounds
    assert [record.number for record in seen] == [1, 2, 3]
    for record in seen:
        assert "no sum was opened" in record.sum.too_few
        assert (record.sum.contributors, record.gap, record.bound, record.sum.traffic) == ((), None, None, ())
        assert set(record.sum.lost.values()) <= {"keys", "shares"}  # who would have gone silent later was never asked
        assert record.secure == record.plain == seen[0].secure
    assert_array_equal(trained.secure["weights"], 0.0)
    assert_array_equal(trained.plain["weights"], 0.0)


def test_parameters_keep_their_dtype(scheme):
    class Single(LogisticRegression):
        def init(self, n_features, rng):
            return {"weights": np.zeros(n_features, np.float32), "bias": np.zeros(1, np.float32)}

        def fit(self, params, x, y, sgd, rng):
            fitted = super().fit(params, x, y, sgd, rng)
            return {name: value.astype(np.float32) for name, value in fitted.items()}

    trained = train(Single(), Cohort(cohort(), HELD_OUT), scheme, replace(OPTIONS, bits=32))
    assert {value.dtype for value in (*trained.secure.values(), *trained.plain.values())} == {np.dtype(np.float32)}
    assert_allclose(trained.secure["weights"], trained.plain["weights"], rtol=1e-5)


def test_each_hospital_is_weighted_by_its_patients(scheme):
    class Constant:
        """A model whose local training always ends at the hospital's own first input."""

        def init(self, n_features, rng):
            return {"w": np.zeros(1)}

        def fit(self, params, x, y, sgd, rng):
            return {"w": np.array([x[0, 0]])}

        def evaluate(self, params, x, y):
            return Metrics(0.0, None, float(params["w"][0]), len(y))

    hospitals = {
        name: Patients(np.full((count, 1), value), np.zeros(count))
        for name, count, value in [("a", 10, 0.5), ("b", 20, -0.5), ("c", 30, 0.25)]
    }
    options = replace(OPTIONS, rounds=1, bits=32)
    trained = train(Constant(), Cohort(hospitals, hospitals["a"]), scheme, options)
    mean = (10 * 0.5 - 20 * 0.5 + 30 * 0.25) / 60
    assert trained.plain["w"][0] == pytest.approx(mean, rel=1e-14)
    assert trained.secure["w"][0] == pytest.approx(mean, abs=trained.rounds[0].bound)
    assert trained.rounds[0].local_loss == pytest.approx(mean, rel=1e-14)  # weighted alike


def timeless(record):
    return replace(record, seconds=0.0, sum=replace(record.sum, traffic=()))


def test_the_seed_fixes_all_but_entropy_and_time(scheme):
    options = replace(OPTIONS, dropout=0.2, bits=16, fraction=0.7)
    drawn = []

    def entropy(count):
        drawn.append(count)
        return os.urandom(count)

    one = train(Perceptron(hidden=3), Cohort(cohort(), HELD_OUT), scheme, options, entropy=entropy)
    two = train(Perceptron(hidden=3), Cohort(cohort(), HELD_OUT), scheme, options)
    assert drawn
    assert [timeless(record) for record in one.rounds] == [timeless(record) for record in two.rounds]
    for key in one.secure:
        assert_array_equal(one.secure[key], two.secure[key])


def test_a_fraction_of_the_hospitals_is_sampled(scheme):
    options = replace(OPTIONS, rounds=6, fraction=0.5)
    hospitals = cohort(8)
    trained = train(LogisticRegression(), Cohort(hospitals, HELD_OUT), scheme, options)
    for record in trained.rounds:
        assert len(record.sum.sampled) == len(record.sum.contributors) == 4
        assert list(record.sum.sampled) == sorted(record.sum.sampled)
    assert len({record.sum.sampled for record in trained.rounds}) > 1


def test_a_scheme_may_depend_on_the_number_of_parties(scheme):
    asked = []

    def source(parties):
        asked.append(parties)
        return scheme

    train(LogisticRegression(), Cohort(cohort(8), HELD_OUT), source, replace(OPTIONS, rounds=2, fraction=0.5))
    assert asked == [4, 4]


@pytest.mark.parametrize(
    ("clients", "fraction", "size"), [(10, 1.0, 10), (10, 0.55, 6), (10, 0.01, 3), (3, 0.5, 3), (7, 0.5, 4)]
)
def test_cohort_size(clients, fraction, size):
    assert cohort_size(clients, fraction) == size


def test_losses_come_at_every_phase_and_as_often_as_told(scheme):
    parties = [str(number) for number in range(4000)]
    lost = draw_losses(parties, scheme, 0.3, np.random.default_rng(1))
    assert len(lost) == pytest.approx(1200, abs=4 * np.sqrt(4000 * 0.3 * 0.7))
    phases = Counter(lost.values())
    assert set(phases) == {phase.name for phase in scheme.phases}
    expected = len(lost) / len(scheme.phases)
    assert all(count == pytest.approx(expected, abs=5 * np.sqrt(expected)) for count in phases.values())
    assert draw_losses(parties, scheme, 0.0, np.random.default_rng(1)) == {}
    assert set(draw_losses(parties, scheme, 1.0, np.random.default_rng(1))) == set(parties)


def sum_of(mean, bound):
    return SimpleNamespace(mean=mean, error_bound=bound)


def test_a_mean_outside_its_bound_names_entry_difference_and_bound():
    mean = {"bias": np.zeros(1), "weights": np.array([[0.0, 0.0], [0.0, 0.25]])}
    plain = {"bias": np.zeros(1), "weights": np.zeros((2, 2))}
    message = r"round 7: entry weights\[1, 1\]: .* differ by 0\.25, expected at most the stated bound 0\.125"
    with pytest.raises(SecaggError, match=message):
        check_mean(sum_of(mean, 0.125), plain, "round 7")
    each = {"bias": np.full(1, 9.0), "weights": np.array([[9.0, 9.0], [9.0, 0.125]])}
    with pytest.raises(SecaggError, match=message):
        check_mean(sum_of(mean, each), plain, "round 7")
    assert check_mean(sum_of(mean, 0.25), plain, "round 7") == (0.25, 0.25)
    each["weights"][1, 1] = 0.5
    assert check_mean(sum_of(mean, each), plain, "round 7") == (0.25, 9.0)


def test_a_mean_that_is_not_a_number_is_outside_every_bound():
    with pytest.raises(SecaggError, match=r"entry w\[0\]"):
        check_mean(sum_of({"w": np.array([np.nan])}, np.inf), {"w": np.zeros(1)}, "round 1")


def test_a_wrong_sum_ends_the_loop(scheme, monkeypatch):
    def off_by_a_little(*args, **options):
        out = honest(*args, **options)
        return replace(out, mean={key: value + 2 * out.error_bound for key, value in out.mean.items()})

    honest = secure.aggregate
    monkeypatch.setattr(secure, "aggregate", off_by_a_little)
    with pytest.raises(SecaggError, match="round 1: entry weights"):
        train(LogisticRegression(), Cohort(cohort(), HELD_OUT), scheme, OPTIONS)


def test_who_misbehaved_and_whom_others_accuse_is_recorded_apart(scheme, monkeypatch):
    told = {"misbehaved": {"hospital-03": "two replies"}, "accused": {"hospital-02": "no sound share"}}
    honest = secure.aggregate
    monkeypatch.setattr(secure, "aggregate", lambda *args, **options: replace(honest(*args, **options), **told))
    (record,) = train(LogisticRegression(), Cohort(cohort(), HELD_OUT), scheme, replace(OPTIONS, rounds=1)).rounds
    assert {"misbehaved": record.sum.misbehaved, "accused": record.sum.accused} == told
    assert record.sum.contributors == tuple(cohort())


def test_two_hospitals_are_too_few(scheme):
    with pytest.raises(BadCohort, match="2 hospitals, expected at least 3"):
        train(LogisticRegression(), Cohort(cohort(2), HELD_OUT), scheme, OPTIONS)


def test_more_patients_than_the_public_bound_name_the_hospital(scheme):
    with pytest.raises(BadWeight, match=r"'hospital-05': 35 training patients, expected at most weight_max = 34"):
        train(LogisticRegression(), Cohort(cohort(), HELD_OUT), scheme, replace(OPTIONS, weight_max=34))


def test_training_that_diverges_names_the_hospital(scheme):
    class Diverging(LogisticRegression):
        def fit(self, params, x, y, sgd, rng):
            return {"weights": np.full(x.shape[1], np.nan), "bias": np.zeros(1)}

    message = r"^party 'hospital-01': round 1: training diverged; lower learning_rate .weights\[0\] is not finite"
    with pytest.raises(NotFinite, match=message):
        train(Diverging(), Cohort(cohort(), HELD_OUT), scheme, OPTIONS)


def test_a_model_that_cannot_be_judged_names_the_round(scheme):
    class Blind(LogisticRegression):
        def evaluate(self, params, x, y):
            if len(y) == len(HELD_OUT.y):
                return super().evaluate({"weights": np.full(3, np.nan), "bias": np.zeros(1)}, x, y)
            return super().evaluate(params, x, y)

    hospitals = {name: patients for name, patients in cohort().items() if len(patients.y) != len(HELD_OUT.y)}
    with pytest.raises(NotFinite, match=r"^round 1: training diverged; lower learning_rate"):
        train(Blind(), Cohort(hospitals, HELD_OUT), scheme, OPTIONS)


def test_the_typical_entry_is_the_median_of_the_plain_mean(scheme):
    model, hospitals = LogisticRegression(), cohort()
    (record,) = train(model, Cohort(hospitals, HELD_OUT), scheme, replace(OPTIONS, rounds=1)).rounds
    mean = reference(model, hospitals, OPTIONS, {1: tuple(hospitals)})  # from zero, so it is the update
    assert record.typical == pytest.approx(np.median(np.abs(np.concatenate([mean["weights"], mean["bias"]]))))


def test_streams_of_different_purposes_and_rounds_differ():
    draws = [
        stream(seed, purpose, *key).integers(2**63)
        for seed in (0, 1)
        for purpose in Purpose
        for key in ((), (0,), (1,), (0, 1), (1, 0))
    ]
    assert len(set(draws)) == len(draws)
    assert stream(5, Purpose.INIT).integers(2**63) == stream(5, Purpose.INIT).integers(2**63)
