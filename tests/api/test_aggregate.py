"""One call sums updates of any structure, gives the same structure back, and leaves its input as it was."""

import copy

import numpy as np
import pytest

import secagg
from secagg import Policy, TooFew
from secagg.errors import PolicyRefused
from secagg.testing import SeededEntropy
from secagg_protocols import PairwiseMasking

SCHEME = PairwiseMasking()
PARTIES = ["a", 1, "c"]


def strided(fill):
    return np.full((4, 6), fill, np.float32)[::2, 1::3]


def read_only(fill):
    array = np.full(3, fill)
    array.flags.writeable = False
    return array


STRUCTURES = {
    "array": lambda x: np.full((2, 3), x),
    "0-d": np.array,
    "number": lambda x: x,
    "numpy number": np.float32,
    "empty array": lambda x: np.zeros((0, 3), np.float32),
    "empty dict": lambda x: {},
    "empty list": lambda x: [],
    "list": lambda x: [np.full(2, x), x],
    "tuple": lambda x: (np.full(2, x), [x, (x,)]),
    "dict": lambda x: {"w": np.full((2, 2), x), 7: {"b": x, "none": []}},
    "strided": strided,
    "Fortran": lambda x: np.asfortranarray(np.full((2, 3), x) * [[1, 0.5, 0.25]]),
    "big-endian": lambda x: np.full(3, x, ">f8"),
    "read-only": read_only,
    "float16": lambda x: np.full(3, x, np.float16),
    "long double": lambda x: np.full(3, x, np.longdouble),
    "bool": lambda x: np.array([True, x > 0]),
    "uint8": lambda x: np.full(3, int(8 * x), np.uint8),
    "int": lambda x: int(8 * x),
    "big-endian int": lambda x: np.full(3, int(8 * x), ">u2"),
    "mixed": lambda x: {"w": np.full(3, x, np.float16), "n": int(8 * x), "seen": np.array([True])},
}
VALUES = dict(zip(PARTIES, (0.125, 0.25, 0.75), strict=True))


def leaves(update):
    """The arrays and numbers of an update, depth first."""
    if isinstance(update, dict | list | tuple):
        for item in update.values() if isinstance(update, dict) else update:
            yield from leaves(item)
    else:
        yield update


def shape_of(update):
    """The update's structure alone, with each leaf's shape, and whether it is a plain number."""
    if isinstance(update, dict):
        return {key: shape_of(item) for key, item in update.items()}
    if isinstance(update, list | tuple):
        return type(update)(shape_of(item) for item in update)
    return (np.shape(update), type(update) in (int, float, bool))


def bytes_of(update):
    """Every byte, flag and stride that a caller could see change."""
    return [
        (array.tobytes(), array.dtype.str, array.strides, array.flags.writeable)
        for array in map(np.asarray, leaves(update))
    ]


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_same_structure_comes_back(name):
    updates = {party: STRUCTURES[name](value) for party, value in VALUES.items()}
    before = {party: bytes_of(update) for party, update in updates.items()}
    frozen = copy.deepcopy(updates)
    out = secagg.aggregate(updates, SCHEME, bits=16)
    assert {party: bytes_of(update) for party, update in updates.items()} == before
    for update, old in zip(updates.values(), frozen.values(), strict=True):
        assert shape_of(update) == shape_of(old)
    assert shape_of(out.mean) == shape_of(out.sum) == shape_of(updates["a"])
    columns = zip(*(leaves(update) for update in updates.values()), strict=True)
    for column, mean, total in zip(columns, leaves(out.mean), leaves(out.sum), strict=True):
        if np.asarray(column[0]).dtype.kind == "f":
            assert np.asarray(mean).dtype == np.asarray(column[0]).dtype.newbyteorder("=")
            assert (abs(np.asarray(mean, float) - np.mean(column, axis=0, dtype=float)) <= out.error_bound).all()
        else:
            np.testing.assert_array_equal(total, np.sum(column, axis=0))
            np.testing.assert_array_equal(mean, np.mean(column, axis=0))
    assert out.contributors == frozenset(PARTIES)
    assert out.saturated == 0


def test_parties_may_order_their_keys_differently():
    out = secagg.aggregate({1: {"x": 1, "y": 10}, 2: {"y": 20, "x": 2}, 3: {"x": 3, "y": 30}}, SCHEME)
    assert out.sum == {"x": 6, "y": 60}
    assert list(out.sum) == ["x", "y"]


def test_parties_may_hold_their_arrays_differently():
    """Memory order, byte order, width and mutability are each party's own business."""
    whole = np.arange(6, dtype=np.float64).reshape(2, 3) / 8
    updates = {
        0: whole,
        1: np.asfortranarray(whole),
        2: whole.astype(">f4"),
        3: whole.astype(np.float16),
        4: np.flip(np.flip(whole)),
    }
    out = secagg.aggregate(updates, SCHEME)
    assert out.mean.dtype == np.float64
    assert (abs(out.mean - whole) <= out.error_bound).all()


def test_a_party_may_send_integers_of_another_width():
    assert secagg.aggregate({0: 1, 1: np.uint8(2), 2: np.array(3, ">i4")}, SCHEME).sum == 6


def test_saturated_entries_are_counted():
    out = secagg.aggregate({0: [0.5, 2.0], 1: [-3.0, 0.5], 2: [0.0, 9.0]}, SCHEME, clip=1.0)
    assert out.saturated == 3
    assert abs(out.mean[1] - 2.5 / 3) <= out.error_bound


def test_the_weighted_mean():
    out = secagg.aggregate(
        {0: np.array([1.0]), 1: np.array([0.0]), 2: np.array([-1.0])},
        SCHEME,
        weights={0: 7, 1: 2, 2: np.int64(1)},
        weight_max=7,
    )
    assert out.weight == 10
    assert abs(out.mean[0] - 0.6) <= out.error_bound
    assert abs(out.sum[0] - 6.0) <= 10 * out.error_bound


def test_weights_of_the_lost_do_not_count():
    updates = {party: np.full(2, party / 8) for party in range(5)}
    weights = {party: party + 1 for party in updates}
    out = secagg.aggregate(
        updates, PairwiseMasking(threshold=3), weights=weights, weight_max=5, lost={4: "masked", 0: "unmask"}
    )
    assert out.contributors == {0, 1, 2, 3}
    assert out.lost == {4: "masked", 0: "unmask"}
    assert out.weight == 10
    assert (abs(out.mean - (0 * 1 + 1 * 2 + 2 * 3 + 3 * 4) / 80) <= out.error_bound).all()


def test_ring_sum_leaves_the_weight_and_the_counters_out():
    out = secagg.aggregate({0: [1, 2], 1: [3, 4], 2: [5, 6]}, SCHEME, weights={0: 1, 1: 1, 2: 1}, weight_max=100)
    assert out.ring_sum.tolist() == [9, 12]


def test_stochastic_rounding_comes_from_the_given_entropy():
    updates = {party: np.full(50, 0.3) for party in range(3)}
    first, again, other = (
        secagg.aggregate(updates, SCHEME, bits=4, rounding="stochastic", entropy=SeededEntropy(seed))
        for seed in (1, 1, 2)
    )
    assert first.ring_sum.tolist() == again.ring_sum.tolist() != other.ring_sum.tolist()
    assert (abs(first.mean - 0.3) <= first.error_bound).all()


def test_traffic_and_seconds_are_told_by_phase_and_role():
    out = secagg.aggregate(dict.fromkeys(range(3), 0.5), SCHEME)
    expected = {(phase.name, role) for phase in SCHEME.phases for role in ("client", "server")}
    assert set(out.traffic) == set(out.seconds) == expected
    assert all(value > 0 for value in (*out.traffic.values(), *out.seconds.values()))


def test_two_parties_only_where_their_policy_allows_it():
    updates = {0: 1, 1: 2}
    with pytest.raises(PolicyRefused, match="a sum over 2 parties"):
        secagg.aggregate(updates, SCHEME)
    assert secagg.aggregate(updates, SCHEME, policy=Policy(min_cohort=2)).sum == 3


def test_too_few_is_caused_by_the_first_refusal():
    """Parties that insist on five contributors refuse to unmask four; the round names why."""
    updates = dict.fromkeys(range(5), 1)
    with pytest.raises(TooFew, match=r"phase 'unmask': 0 .*no sum was opened") as caught:
        secagg.aggregate(updates, SCHEME, lost={0: "masked"}, policy=Policy(min_cohort=5))
    assert isinstance(caught.value.__cause__, PolicyRefused)


@pytest.mark.parametrize("phase", [phase.name for phase in SCHEME.phases])
def test_who_is_lost_is_told_with_the_phase(phase):
    out = secagg.aggregate({party: party for party in range(4)}, SCHEME, lost={3: phase})
    assert out.lost == {3: phase}
    assert out.sum == (6 if phase == "unmask" else 3)
    assert out.misbehaved == {}
