import os
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.errors import BadWeight, InputError, TooFew
from secagg.fedavg.preparation import pooled
from secagg.fedavg.secure import Sums
from secagg.fedavg.statistics import ATTEMPTS, HIGHEST, LOWEST, federated, magnitude_buckets

NAMES = ("a", "b", "c", "d")


class Schedule:
    """Stands for the generator of the dropout schedule: in sum number i, `lost[i]` go silent at a phase."""

    def __init__(self, hospitals, lost):
        self.hospitals, self.lost, self.sums = hospitals, lost, 0

    def random(self, size):
        gone = self.lost.get(self.sums, {})
        self.sums += 1
        self.now = [gone.get(name) for name in self.hospitals]
        return np.array([1.0 if phase is None else 0.0 for phase in self.now])

    def integers(self, phases, size):
        return np.array([0 if phase is None else phase for phase in self.now])

    def spawn(self, count):
        return np.random.default_rng(self.sums).spawn(count)


def run(values, scheme, lost=None, features=NAMES, weights=(10, 1000)):
    records = []
    result = federated(
        values,
        features,
        Sums(scheme, weights, 0.5, os.urandom),
        Schedule(list(values), lost or {}),
        records.append,
    )
    return result, records


def hospitals(count=5, missing=0.1, seed=0):
    """Features that span 1e-3 to 1e5, one of them with a mean far larger than its spread."""
    rng = np.random.default_rng(seed)
    values = {}
    for number in range(count):
        x = rng.normal(size=(20 + 7 * number, 4)) * [1e-3, 1.0, 1e5, 1.0] + [0.0, 3.0, -2e5, 1e5]
        x[rng.random(x.shape) < missing] = np.nan
        values[f"hospital-{number}"] = x
    return values


def exact(values):
    """Mean and variance per feature in rational arithmetic."""
    x = np.concatenate(list(values.values()))
    moments = []
    for column in x.T:
        present = [Fraction(float(value)) for value in column if not np.isnan(value)]
        mean = sum(present, Fraction(0)) / max(len(present), 1)
        moments.append((mean, sum((value - mean) ** 2 for value in present) / max(len(present), 1)))
    return moments


def assert_within_bounds(result, values):
    for index, (mean, variance) in enumerate(exact(values)):
        assert abs(Fraction(result.mean[index]) - mean) <= Fraction(result.mean_bound[index])
        assert abs(Fraction(result.variance[index]) - variance) <= Fraction(result.variance_bound[index])


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_federated_statistics_are_the_pooled_ones_within_the_stated_bound(scheme, missing):
    values = hospitals(missing=missing)
    result, records = run(values, scheme)
    assert_within_bounds(result, values)
    assert (result.mean_bound <= 1e-6 * np.sqrt(result.variance)).all()  # the bound says something
    assert (result.variance_bound <= 1e-5 * result.variance).all()
    assert not result.constant.any()
    assert [record.name for record in records] == ["ranges", "means", "spreads", "squares"]
    assert all(record.sum.contributors == tuple(values) and record.sum.saturated == 0 for record in records)


@pytest.mark.parametrize("phase", [0, 1, 2])
def test_a_hospital_lost_in_the_last_sum_is_not_in_the_statistics(scheme, phase):
    values = hospitals()
    result, records = run(values, scheme, {3: {"hospital-4": phase}})
    assert records[3].sum.lost == {"hospital-4": scheme.phases[phase].name}
    assert "hospital-4" not in records[3].sum.contributors
    del values["hospital-4"]
    assert_within_bounds(result, values)


def test_a_hospital_lost_at_the_last_phase_is_still_in_the_statistics(scheme):
    values = hospitals()
    result, records = run(values, scheme, {3: {"hospital-0": len(scheme.phases) - 1}})
    assert records[3].sum.contributors == tuple(values)
    assert_within_bounds(result, values)


@pytest.mark.parametrize("sum_number", [0, 1, 2])
def test_a_hospital_lost_before_the_last_sum_only_is_in_the_statistics(scheme, sum_number):
    values = hospitals()
    result, _ = run(values, scheme, {sum_number: {"hospital-2": 0}})
    assert_within_bounds(result, values)


def test_a_void_sum_is_repeated(scheme):
    values = hospitals()
    everybody = dict.fromkeys(values, 0)
    result, records = run(values, scheme, {0: everybody, 4: everybody})
    assert [(record.name, record.attempt) for record in records] == [
        ("ranges", 1),
        ("ranges", 2),
        ("means", 1),
        ("spreads", 1),
        ("squares", 1),
        ("squares", 2),
    ]
    assert records[0].sum.too_few is not None
    assert records[0].sum.contributors == ()
    assert records[1].sum.too_few is None
    assert_within_bounds(result, values)


def test_too_few_stands_after_the_last_attempt(scheme):
    values = hospitals()
    records = []
    message = r"^standardisation: the sum 'ranges' failed 5 times, at last in phase '.*; lower dropout"
    with pytest.raises(TooFew, match=message) as raised:
        federated(values, NAMES, Sums(scheme, (1, 1000), 1.0, os.urandom), np.random.default_rng(0), records.append)
    assert [record.attempt for record in records] == list(range(1, ATTEMPTS + 1))
    assert records[-1].sum.too_few in str(raised.value)
    assert raised.value.answered < raised.value.needed


def test_constant_and_absent_features_are_found(scheme):
    values = hospitals(count=3)
    for number, x in enumerate(values.values()):
        x[:, 0] = 0.1
        x[:, 1] = np.nan
        x[:, 2] = 98765.4321
        x[:, 3] = number
    result, _ = run(values, scheme)
    assert result.constant.tolist() == [True, True, True, False]
    assert_within_bounds(result, values)
    standard = result.apply(np.concatenate(list(values.values())))
    assert (standard[:, :3] == 0).all()
    assert (result.variance >= 0).all()


def test_a_feature_that_only_one_hospital_has(scheme):
    values = hospitals()
    for name, x in values.items():
        if name != "hospital-1":
            x[:, 1] = np.nan
    result, _ = run(values, scheme)
    assert_within_bounds(result, values)
    assert not result.constant[1]


def test_one_feature_alone(scheme):
    values = {name: x[:, :1] for name, x in hospitals(count=3).items()}
    result, _ = run(values, scheme, features=("a",))
    assert_within_bounds(result, values)


def test_standardised_values_agree_with_the_pooled_standardisation(scheme):
    values = hospitals()
    result, _ = run(values, scheme)
    x = np.concatenate(list(values.values()))
    np.testing.assert_allclose(result.apply(x), pooled(x).apply(x), atol=1e-5)


def test_more_patients_than_the_public_bound_name_the_hospital(scheme):
    with pytest.raises(BadWeight, match=r"'hospital-4': 48 training patients, expected at most weight_max = 47"):
        run(hospitals(), scheme, weights=(1, 47))


def test_a_magnitude_beyond_the_last_bucket_names_hospital_and_feature(scheme):
    values = hospitals()
    values["hospital-3"][0, 2] = 1e40
    with pytest.raises(InputError, match=r"'hospital-3': feature 'c': magnitude 1e\+40"):
        run(values, scheme)


@given(st.floats(min_value=2.0**LOWEST, max_value=2.0**HIGHEST), st.booleans())
def test_a_bucket_is_the_least_power_of_two_above(value, negative):
    marks = magnitude_buckets(np.array([[-value if negative else value], [0.0]]), ("a",), "h")
    (bucket,) = np.flatnonzero(marks[0])
    exponent = LOWEST + int(bucket)
    assert Fraction(2) ** (exponent - 1) < Fraction(value) <= Fraction(2) ** exponent or exponent == LOWEST
    assert Fraction(value) <= Fraction(2) ** exponent


def test_buckets_of_nothing_and_of_tiny_values():
    marks = magnitude_buckets(np.array([[0.0, np.nan, 1e-300]]), ("a", "b", "c"), "h")
    assert marks.sum(axis=1).tolist() == [0, 0, 1]
    assert marks[2, 0] == 1
