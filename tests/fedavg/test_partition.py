import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.errors import ConfigError, InputError
from secagg.fedavg.data import Table, load
from secagg.fedavg.partition import MIN_PATIENTS, MIN_TEST, MIN_TRAIN, hold_out, spread


def table_of(outcome, sites=None) -> Table:
    outcome = np.asarray(outcome, dtype=np.uint8)
    frame = pd.DataFrame({"x": np.arange(len(outcome), dtype=float)})
    return Table("made up", frame, outcome, ("no", "yes"), None if sites is None else np.array(sites))


def rng(seed=0):
    return np.random.default_rng(seed)


@given(
    how=st.sampled_from(["iid", "uneven", "dirichlet"]),
    clients=st.integers(3, 12),
    extra=st.integers(0, 200),
    seed=st.integers(0, 2**32),
)
def test_every_patient_is_at_exactly_one_hospital_and_none_starves(how, clients, extra, seed):
    patients = clients * MIN_PATIENTS * (5 if how == "dirichlet" else 1) + extra
    outcome = rng(seed).integers(0, 2, patients)
    parts = spread(table_of(outcome), how, clients=clients, alpha=5.0, rng=rng(seed))
    assert len(parts) == clients
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(patients))
    assert min(map(len, parts.values())) >= MIN_PATIENTS


def test_iid_sizes_differ_by_at_most_one_and_uneven_ones_grow():
    table = load()
    alike = [len(rows) for rows in spread(table, "iid", clients=10, alpha=1.0, rng=rng()).values()]
    assert max(alike) - min(alike) == 1
    grown = [len(rows) for rows in spread(table, "uneven", clients=10, alpha=1.0, rng=rng()).values()]
    assert grown == sorted(grown)
    assert grown[-1] - MIN_PATIENTS == pytest.approx(10 * (grown[0] - MIN_PATIENTS), rel=0.1)


def test_a_small_alpha_skews_outcomes_more():
    table = load()

    def unlike(alpha):
        parts = spread(table, "dirichlet", clients=5, alpha=alpha, rng=rng(1)).values()
        return np.std([table.outcome[rows].mean() for rows in parts])

    assert unlike(0.3) > 3 * unlike(100.0)


@pytest.mark.parametrize("alpha", [1e-3, 1e-9])
def test_a_skew_that_starves_a_hospital_is_refused(alpha):
    with pytest.raises(ConfigError, match="expected a larger alpha or fewer hospitals"):
        spread(table_of([0, 1] * 40), "dirichlet", clients=10, alpha=alpha, rng=rng())


def test_too_many_hospitals_are_refused():
    with pytest.raises(ConfigError, match="8 patients over 3 hospitals, expected at least 12"):
        spread(table_of([0, 1] * 4), "iid", clients=3, alpha=1.0, rng=rng())


def test_names_are_numbered_with_equal_width():
    names = list(spread(table_of([0, 1] * 300), "iid", clients=101, alpha=1.0, rng=rng()))
    assert names[0] == "hospital-001"
    assert names[-1] == "hospital-101"
    assert names == sorted(names)
    assert next(iter(spread(table_of([0, 1] * 9), "iid", clients=3, alpha=1.0, rng=rng()))) == "hospital-01"


def test_sites_keep_their_patients_and_their_order_by_number():
    sites = ["10", "2", "b"] * 4
    parts = spread(table_of([0, 1] * 6, sites), "site", clients=None, alpha=None, rng=rng())
    assert {name: rows.tolist() for name, rows in parts.items()} == {
        "b": [2, 5, 8, 11],
        "2": [1, 4, 7, 10],
        "10": [0, 3, 6, 9],
    }
    assert [name for name in parts if name != "b"] == ["2", "10"]


@pytest.mark.parametrize(
    ("sites", "error", "message"),
    [
        (None, ConfigError, "no site column is named"),
        (["a", "b"] * 6, InputError, "names 2 hospitals, expected at least 3"),
        (["a", "b", "c"] * 3 + ["a", "b", "b"], InputError, "hospital 'c' has 3 patients, expected at least 4"),
    ],
)
def test_bad_sites_are_refused(sites, error, message):
    with pytest.raises(error, match=message):
        spread(table_of([0, 1] * 6, sites), "site", clients=3, alpha=1.0, rng=rng())


def test_a_number_of_hospitals_that_is_not_the_column_s_is_refused():
    table = table_of([0, 1] * 6, ["a", "b", "c"] * 4)
    with pytest.raises(ConfigError, match=r"^clients is 7: the site column of made up names 3, expected none or 3"):
        spread(table, "site", clients=7, alpha=None, rng=rng())
    assert list(spread(table, "site", clients=3, alpha=None, rng=rng())) == ["a", "b", "c"]


@given(
    outcome=st.lists(st.integers(0, 1), min_size=MIN_PATIENTS, max_size=60),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_hold_out_splits_and_leaves_both_sides_enough(outcome, fraction, seed):
    train, test = hold_out(np.array(outcome, dtype=np.uint8), fraction, rng(seed))
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(outcome)))
    assert len(train) >= MIN_TRAIN
    assert len(test) >= MIN_TEST


def test_hold_out_keeps_the_outcomes_alike():
    outcome = np.array([1] * 20 + [0] * 80, dtype=np.uint8)
    train, test = hold_out(outcome, 0.25, rng())
    assert (outcome[test].sum(), len(test)) == (5, 25)
    assert (outcome[train].sum(), len(train)) == (15, 75)
