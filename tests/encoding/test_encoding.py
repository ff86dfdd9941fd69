"""The mean of encoded updates is within its error bound of the exact mean; counts, weights and integers are exact."""

import copy
from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secagg.encoding.clips import clip_of, to_bytes
from secagg.encoding.encoding import ABSTAIN, Encoding, weight_range
from secagg.encoding.layout import Layout
from secagg.errors import (
    BadDtype,
    BadWeight,
    ConfigError,
    NotFinite,
    OutOfRange,
    OutOfRing,
    PeerMisbehaved,
    ShapeMismatch,
)
from secagg.testing import SeededEntropy

FLOATS = ("f2", "f4", "f8", "g")
WEIGHT_LIMIT = 2**48


def encoding(like, bits=16, clip=1.0, weight_max=None, parties=20, rounding=None):
    weights = None if weight_max is None else (1, weight_max)
    return Encoding.of(like, parties, bits, clip, weights, rounding)


def decoded(enc, updates, weights=None, seed=0):
    """Encode each, add in the ring, decode: a round without a protocol."""
    weights = weights or [1] * len(updates)
    entropy = SeededEntropy(seed)
    total = enc.ring.zeros(enc.dim)
    for update, weight in zip(updates, weights, strict=True):
        vector = enc.encode(update, weight, entropy)
        assert vector.dtype == enc.ring.lane
        assert vector.shape == (enc.dim,)
        assert not vector.size or int(vector.max()) < 2**enc.bits
        total += vector
    return enc.decode(enc.ring.reduce(total), len(updates))


def exact(number):
    return Fraction(*number.as_integer_ratio())


def exact_mean(columns, clips, weights):
    """Weighted mean of the clipped entries, in rationals; columns[i] holds entry i of each party."""
    return [
        sum(weight * min(max(exact(x), -exact(clip)), exact(clip)) for x, weight in zip(column, weights, strict=True))
        / sum(weights)
        for column, clip in zip(columns, clips, strict=True)
    ]


@st.composite
def rounds(draw):
    """(updates of a float and an integer array each, clip, bits, weights, weight_max, rounding)."""
    n, size = draw(st.integers(1, 20)), draw(st.integers(1, 4))
    dtype = draw(st.sampled_from(FLOATS))
    edge = min(1e5, float(np.finfo(dtype).max))
    scalar = st.sampled_from([1e-3, 0.1, 1.0, 3.3, 65504.0, edge]) | st.floats(1e-3, edge)
    clip = draw(st.one_of(scalar, st.lists(scalar, min_size=size, max_size=size).map(np.array)))
    top = min(float(np.max(clip)) * 3, float(np.finfo(dtype).max))
    entry = st.floats(-top, top) | st.sampled_from([0.0, float(np.max(clip)), -float(np.min(clip)), 1e-9])
    rows = draw(st.lists(st.lists(entry, min_size=size, max_size=size), min_size=n, max_size=n))
    limit = float(np.finfo(dtype).max)
    updates = [np.clip(np.array(row), -limit, limit).astype(dtype) for row in rows]
    weight_max = draw(st.none() | st.integers(1, 10) | st.integers(1, 10**6) | st.integers(1, WEIGHT_LIMIT))
    weights = draw(st.lists(st.integers(1, weight_max or 1), min_size=n, max_size=n))
    return (
        updates,
        clip,
        draw(st.integers(2, 32)),
        weights,
        weight_max,
        draw(st.sampled_from(["nearest", "stochastic"] if weight_max is None else ["stochastic"])),
    )


@settings(max_examples=250)
@given(case=rounds(), as_structure=st.booleans(), seed=st.integers(0, 2**32))
def test_error_bound_is_an_upper_bound(case, as_structure, seed):
    updates, clip, bits, weights, weight_max, rounding = case
    clips = np.broadcast_to(clip, updates[0].shape)
    if as_structure:
        updates = [{"w": update, "count": 1} for update in updates]
        clip = {"w": clip, "count": 1.0}
    enc = encoding(updates[0], bits, clip, weight_max, rounding=rounding)
    out = decoded(enc, updates, weights, seed)
    mean, total, bound = out.mean, out.sum, out.error_bound
    if as_structure:
        assert (out.sum["count"], out.mean["count"]) == (len(updates), 1.0)
        updates, mean, total = [update["w"] for update in updates], mean["w"], total["w"]
        bound = bound["w"] if isinstance(bound, dict) else bound
    assert mean.dtype == updates[0].dtype
    assert out.weight == sum(weights)
    bounds = np.broadcast_to(bound, clips.shape)
    expected = exact_mean(np.transpose(updates), clips, weights)
    for found, summed, true, most in zip(mean, total, expected, bounds, strict=True):
        assert abs(exact(found) - true) <= exact(most)
        assert abs(exact(summed) - true * sum(weights)) <= exact(most) * sum(weights)


@pytest.mark.parametrize("dtype", ["f8", "g"])
@pytest.mark.parametrize(("weight", "weight_max"), [(1, None), (3, 7), (999_983, 1_000_003)])
def test_error_bound_covers_the_arithmetic(dtype, weight, weight_max):
    """Entries half a step between two levels, where one ulp decides which is nearest."""
    clip, levels = 0.7, 2**31 - 1
    k = np.random.default_rng(weight).integers(0, levels * weight // (weight_max or 1), 2000)
    x = ((k + 0.5) * (weight_max or 1) / weight * clip / levels).astype(dtype)
    out = decoded(encoding(x, 32, clip, weight_max), [x] * 2, [weight] * 2)
    for found, true in zip(out.mean, exact_mean(x[:, None], [clip] * x.size, [1]), strict=True):
        assert abs(exact(found) - true) <= exact(out.error_bound)


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
@pytest.mark.parametrize("bits", [2, 8, 16, 32])
def test_error_bound_is_no_more_than_a_step(bits, rounding):
    """Without weights: half a step to nearest, one step stochastically, and the arithmetic's own error."""
    out = decoded(encoding(np.zeros(3), bits, clip=2.0, rounding=rounding), [np.zeros(3)] * 4)
    step = 2.0 / (2 ** (bits - 1) - 1)
    part = {"nearest": 0.5, "stochastic": 1.0}[rounding]
    assert part * step <= out.error_bound <= part * step + 1e-14


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("rounding", "weight_max"),
    [("nearest", None), ("stochastic", None), ("stochastic", 7), ("stochastic", WEIGHT_LIMIT)],
)
def test_zero_is_exact(dtype, rounding, weight_max):
    enc = encoding(np.zeros(5, dtype), 9, 0.3, weight_max, rounding=rounding)
    out = decoded(enc, [np.zeros(5, dtype)] * 3, [1, 1, weight_max or 1])
    assert out.mean.tolist() == out.sum.tolist() == [0.0] * 5


@given(
    bits=st.integers(2, 32),
    dtype=st.sampled_from(FLOATS),
    rows=st.lists(st.lists(st.floats(-3, 3, width=16), min_size=9, max_size=9), min_size=1, max_size=20),
)
def test_saturation_is_counted_exactly(bits, dtype, rows):
    out = decoded(encoding(np.zeros(9, dtype), bits), [np.array(row, dtype) for row in rows])
    assert out.saturated == sum(abs(x) > 1 for row in rows for x in row)


@given(rows=st.lists(st.floats(-3, 3, width=16), min_size=9, max_size=9), dtype=st.sampled_from(FLOATS))
def test_saturation_is_the_share_of_what_is_clipped(rows, dtype):
    update = {"w": np.array(rows, dtype), "n": 3}
    enc = encoding(update)
    assert enc.saturation(update) == decoded(enc, [update]).saturated / 9
    assert encoding({"n": 3}).saturation({"n": 3}) == 0
    with pytest.raises(NotFinite):
        enc.saturation({**update, "w": np.full(9, np.nan, dtype)})


@pytest.mark.parametrize("bits", [2, 3, 16])
@pytest.mark.parametrize("entries", [1, 3, 4, 65535, 65536])
def test_a_full_count_of_saturated_entries_does_not_wrap(bits, entries):
    out = decoded(encoding(np.zeros(entries, "f4"), bits, parties=3), [np.full(entries, 9, "f4")] * 3)
    assert out.saturated == 3 * entries


def test_saturation_leaves_only_inside_the_vector():
    """The one output of `encode` is a vector whose last limbs hold the count, and that its party gave an update."""
    enc = encoding(np.zeros(5), bits=2)
    vector = enc.encode(np.array([9, -9, 9, -9, 0.5]), 1, SeededEntropy(0))
    assert vector[enc.entries :].tolist() == [0, 1, 0]  # 4 in limbs of two bits


@given(bits=st.integers(1, 32), weight_max=st.integers(1, WEIGHT_LIMIT), draw=st.data())
def test_weights_are_exact(bits, weight_max, draw):
    weights = draw.draw(st.lists(st.integers(1, weight_max), min_size=1, max_size=20))
    enc = encoding(0, bits, weight_max=weight_max)
    assert decoded(enc, [1] * len(weights), weights).weight == sum(weights)
    assert decoded(enc, [1] * 20, [weight_max] * 20).weight == 20 * weight_max


@given(bits=st.integers(1, 32), parties=st.integers(1, 2**20), draw=st.data())
def test_integers_are_exact(bits, parties, draw):
    largest = 2**bits - 1
    rows = draw.draw(st.lists(st.lists(st.integers(0, largest), min_size=3, max_size=3), min_size=1, max_size=20))
    enc = encoding(np.zeros(3, np.uint64), bits, parties=max(parties, len(rows)))
    out = decoded(enc, [np.array(row, np.uint64) for row in rows])
    expected = [sum(column) for column in zip(*rows, strict=True)]
    assert out.sum.tolist() == out.ring_sum.tolist() == expected
    assert out.mean.tolist() == [value / len(rows) for value in expected]
    assert out.error_bound == 0


@pytest.mark.parametrize("bits", [1, 2, 15, 16, 17, 31, 32])
@pytest.mark.parametrize("parties", [2, 3, 2**16 + 1, 2**20])
def test_the_largest_sum_does_not_wrap(bits, parties):
    enc = encoding(np.zeros(2, np.uint32), bits, parties=parties)
    vector = enc.encode(np.full(2, 2**bits - 1, np.uint64), 1, SeededEntropy(0))
    total = enc.ring.reduce((vector.astype(np.uint64) * np.uint64(parties)).astype(enc.ring.lane))
    assert enc.decode(total, parties).sum.tolist() == [parties * (2**bits - 1)] * 2


def test_booleans_are_counted():
    rows = [np.array([True, False]), np.array([True, True]), np.array([True, False])]
    out = decoded(encoding(rows[0], bits=1), rows)
    assert out.sum.tolist() == [3, 1]
    assert out.sum.dtype == np.int64


@given(
    rows=st.lists(st.lists(st.floats(-2, 2), min_size=4, max_size=4), min_size=1, max_size=20),
    bits=st.integers(2, 32),
)
def test_ring_sum_is_the_integer_sum_of_the_vectors(rows, bits):
    enc = encoding(np.zeros(4), bits)
    vectors = [enc.encode(np.array(row), 1, SeededEntropy(0)) for row in rows]
    expected = [sum(int(vector[i]) for vector in vectors) for i in range(4)]
    assert decoded(enc, [np.array(row) for row in rows]).ring_sum.tolist() == expected


def test_integers_are_not_weighted():
    enc = encoding({"w": 1.0, "n": 1}, weight_max=10)
    out = decoded(enc, [{"w": 1.0, "n": 3}, {"w": 0.0, "n": 4}], [1, 9])
    assert (out.sum["n"], out.mean["n"]) == (7, 3.5)
    assert abs(out.mean["w"] - 0.1) <= out.error_bound


@pytest.mark.parametrize(
    ("like", "clip", "kind"),
    [
        (np.zeros(3), 1.0, float),
        ({"a": np.zeros(3, "f4"), "b": 0.0}, 1.0, float),
        ({"a": np.zeros(3), "b": 0.0}, {"a": 1.0, "b": 1}, float),
        ({"a": np.zeros(3), "b": 0.0}, {"a": 1.0, "b": 2.0}, dict),
        ([np.zeros(3), 0], [np.array([1.0, 2.0, 3.0]), 1], list),
        (np.zeros((1, 2)), np.array([[1.0, 1.0]]), np.ndarray),
        (np.zeros(3, int), 1.0, float),
        ({}, 1.0, float),
    ],
)
def test_error_bound_has_the_updates_structure_where_clips_differ(like, clip, kind):
    bound = decoded(encoding(like, clip=clip), [like] * 2).error_bound
    assert isinstance(bound, kind)
    if kind is not float:
        paths = [(path, array.shape) for path, array in Layout.of(like).flatten(like)]
        assert [(path, array.shape) for path, array in Layout.of(bound).flatten(bound)] == paths
    if kind is list:
        assert bound[1] == 0.0
        assert (np.diff(bound[0]) > 0).all()


@pytest.mark.parametrize(("rounding", "drawn"), [("nearest", []), ("stochastic", [16])])
def test_all_arrays_of_an_update_are_rounded_by_one_seed(rounding, drawn):
    """And by different words of it: equal arrays are not rounded alike, so their errors do not add up."""
    source, asked = SeededEntropy(0), []

    def entropy(n):
        asked.append(n)
        return source(n)

    like = [np.full(400, 2.5)] * 2 + [np.zeros(3, int)]
    vector = encoding(like, bits=4, clip=7.0, rounding=rounding).encode(like, 1, entropy)
    assert asked == drawn
    assert (vector[:400] == vector[400:800]).all() == (rounding == "nearest")


def test_a_mean_at_the_edge_of_float16_stays_finite():
    largest = np.finfo(np.float16).max
    rows = [np.full(3, largest, np.float16)] * 3
    out = decoded(encoding(rows[0], bits=3, clip=float(largest), rounding="stochastic"), rows)
    assert np.isfinite(out.mean).all()
    assert (np.abs(out.mean - float(largest)) <= out.error_bound).all()


@pytest.mark.parametrize(("dtype", "most"), [("f2", 65504.0), ("f4", float(np.finfo("f4").max))])
def test_a_clip_beyond_what_the_dtype_holds_is_refused(dtype, most):
    """No mean could be as large, and the bound would be false."""
    like = {"w": [np.zeros(2, dtype)], "n": 0}
    encoding(like, clip={"w": [most], "n": 1e9})
    beyond = float(np.nextafter(most, np.inf))
    with pytest.raises(OutOfRange, match=r"clip\['w'\]\[0\] is .* expected at most .* the largest float"):
        encoding(like, clip={"w": [beyond], "n": 1.0})
    forged = msgspec.structs.replace(
        encoding(like, clip={"w": [most], "n": 1}), clips=to_bytes((np.array(beyond),) * 2)
    )
    with pytest.raises(OutOfRange, match="expected at most"):
        forged.check()


@pytest.mark.parametrize("clip", [1e-280, 1e280])
@pytest.mark.parametrize("bits", [2, 32])
def test_the_extreme_clips_work(clip, bits):
    enc = encoding(np.zeros(2), bits, clip, WEIGHT_LIMIT, parties=2**20)
    rows = [np.array([clip, -clip])] * 20
    out = decoded(enc, rows, [WEIGHT_LIMIT] * 20)
    assert np.isfinite(out.sum).all()
    for found, true in zip(out.mean, rows[0], strict=True):
        assert abs(exact(found) - exact(true)) <= exact(out.error_bound)


@pytest.mark.skipif(np.finfo("g").max == np.finfo("f8").max, reason="long double is double here")
def test_finite_long_doubles_beyond_float64_are_clipped():
    rows = [np.array([np.longdouble(2) ** 2000, -(np.longdouble(2) ** 2000), 0.5])] * 2
    out = decoded(encoding(rows[0]), rows)
    assert out.saturated == 4
    assert out.mean[:2].tolist() == [1.0, -1.0]


@pytest.mark.parametrize(("weight", "contributors"), [(0, 1), (1, 2), (11, 1), (21, 2)])
def test_an_impossible_sum_of_weights_is_a_named_error(weight, contributors):
    enc = encoding(0, bits=4, weight_max=10, parties=2)
    total = np.array([0, weight, 0, 0], enc.ring.lane)
    with pytest.raises(PeerMisbehaved, match=f"{contributors} contributors, 0 of whom .* add up to {weight}:"):
        enc.decode(total, contributors)


@pytest.mark.parametrize(("abstained", "weight"), [(3, 2), (2**4 - 1, 2), (1, 1), (1, 21), (2, 0)])
def test_an_impossible_number_of_abstentions_is_a_named_error(abstained, weight):
    enc = encoding(0, bits=4, weight_max=10, parties=2)
    with pytest.raises(PeerMisbehaved, match=f"2 contributors, {abstained} of whom abstain, add up to {weight}"):
        enc.decode(np.array([0, weight, 0, abstained], enc.ring.lane), 2)


@settings(max_examples=250)
@given(case=rounds(), abstaining=st.integers(0, 19), seed=st.integers(0, 2**32))
def test_who_abstains_counts_as_an_update_of_zeros(case, abstaining, seed):
    updates, clip, bits, weights, weight_max, rounding = case
    updates = [{"w": update, "count": 3 % 2**bits} for update in updates]
    zeros = {"w": np.zeros_like(updates[0]["w"]), "count": 0}
    enc = encoding(updates[0], bits, {"w": clip, "count": 1}, weight_max, 20 + 19, rounding)
    weights += [weight_max or 1] * abstaining
    out, expected = (decoded(enc, updates + [each] * abstaining, weights, seed) for each in (ABSTAIN, zeros))
    assert (expected.abstained, out.abstained) == (0, abstaining)
    for name in ("mean", "sum"):
        for key in ("w", "count"):
            np.testing.assert_array_equal(getattr(out, name)[key], getattr(expected, name)[key])
    np.testing.assert_equal(out.error_bound, expected.error_bound)
    assert (out.weight, out.saturated) == (expected.weight, expected.saturated)


def test_a_sum_of_abstentions_alone_is_zero():
    out = decoded(encoding(np.zeros(2), weight_max=10), [ABSTAIN] * 3, [5] * 3)
    assert (out.mean.tolist(), out.weight, out.abstained) == ([0.0, 0.0], 15, 3)


def test_an_abstention_is_one_object_and_has_a_weight():
    assert copy.deepcopy(ABSTAIN) is ABSTAIN
    assert repr(ABSTAIN) == "ABSTAIN"
    enc = encoding(np.zeros(2), weight_max=10)
    for call in (enc.check_update, lambda *what: enc.encode(*what, SeededEntropy(0))):
        with pytest.raises(BadWeight, match="weight is 11"):
            call(ABSTAIN, 11)


def test_there_is_no_nearest_rounding_with_weights():
    """It would be zero for light parties and not for heavy ones: the heaviest alone would be left in a sum."""
    with pytest.raises(OutOfRange, match="rounding is 'nearest': expected 'stochastic' where there are weights"):
        encoding(0.0, weight_max=10, rounding="nearest")
    assert (encoding(0.0).rounding, encoding(0.0, weight_max=10).rounding) == ("nearest", "stochastic")


@pytest.mark.parametrize(
    ("most", "least", "found"),
    [(None, None, None), (1, None, (1, 1)), (100, None, (1, 100)), (101, None, (2, 101)), (1000, 7, (7, 1000))],
)
def test_a_range_of_weights(most, least, found):
    assert weight_range(most, least) == found


@pytest.mark.parametrize(
    ("most", "least", "message"),
    [
        (None, 3, "weight_min is 3 and weight_max is None"),
        (0, None, "weight_max is 0"),
        (2**48 + 1, None, r"weight_max is .*: expected 1..2\*\*48"),
        (5, 6, r"weight_min is 6: expected 1..5 \(weight_max\)"),
        (5, 0, "weight_min is 0"),
        (True, None, "weight_max is True"),
        (5, "1", "weight_min is '1'"),
    ],
)
def test_what_is_no_range_of_weights(most, least, message):
    with pytest.raises((OutOfRange, ConfigError), match=message):
        weight_range(most, least)


@pytest.mark.parametrize(
    ("update", "weight", "error", "message"),
    [
        ({"w": [[1, np.nan]], "n": [0]}, 1, NotFinite, r"update\['w'\]\[0, 1\] is nan, expected a finite number"),
        ({"w": [[np.inf, 1]], "n": [0]}, 1, NotFinite, r"update\['w'\]\[0, 0\] is inf"),
        ({"w": [[1, -np.inf]], "n": [0]}, 1, NotFinite, r"update\['w'\]\[0, 1\] is -inf"),
        ({"w": [[1.0, 1]], "n": [-1]}, 1, OutOfRing, r"update\['n'\]\[0\] is -1: .* must lie in 0..255 \(bits=8\)"),
        ({"w": [[1.0, 1]], "n": [256]}, 1, OutOfRing, r"update\['n'\]\[0\] is 256"),
        ({"w": [[1.0, 1]], "n": [2**63]}, 1, OutOfRing, r"update\['n'\]\[0\] is 9223372036854775808"),
        ({"w": [1.0], "n": [0]}, 1, ShapeMismatch, r"update\['w'\]: shape \(1,\), expected \(1, 2\)"),
        ({"w": [["a", "b"]], "n": [0]}, 1, BadDtype, r"update\['w'\]: entries are str"),
        (
            {"w": [[1.0, 1]], "n": [0]},
            0,
            BadWeight,
            r"weight is 0: expected .* 1..10 \(weight_min, weight_max\)",
        ),
        ({"w": [[1.0, 1]], "n": [0]}, 11, BadWeight, r"weight is 11: expected an integer in 1..10"),
        ({"w": [[1.0, 1]], "n": [0]}, 1.5, BadWeight, r"weight is 1.5: expected an integer in 1..10"),
    ],
)
def test_check_and_encode_raise_the_same_error(update, weight, error, message):
    enc = encoding({"w": np.zeros((1, 2)), "n": np.zeros(1, int)}, bits=8, weight_max=10)
    update = {key: np.array(value) for key, value in update.items()}
    for call in (lambda: enc.check_update(update, weight), lambda: enc.encode(update, weight, SeededEntropy(0))):
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize("weight", [0, 2, None, "1", 1.0, np.array([1, 1])])
def test_no_weight_but_one_where_the_session_has_none(weight):
    with pytest.raises(BadWeight, match="the session has no weights"):
        encoding(1.0).check_update(1.0, weight)


@pytest.mark.parametrize("dtype", ["i1", "u1", "?"])
def test_narrow_integers_are_compared_in_their_own_range(dtype):
    encoding(np.zeros(2, dtype), bits=32).check_update(np.ones(2, dtype), 1)


@pytest.mark.parametrize(
    ("clip", "error", "message"),
    [
        (0, OutOfRange, r"clip is 0.0: expected a positive, finite number"),
        (-1.0, OutOfRange, r"clip is -1.0"),
        (np.nan, OutOfRange, r"clip is nan"),
        (np.inf, OutOfRange, r"clip is inf"),
        (1e-281, OutOfRange, r"clip is 1e-281: expected a positive, finite number \(1e-280..1e\+280\)"),
        (1e281, OutOfRange, r"clip is 1e\+281"),
        (True, OutOfRange, r"clip is bool"),
        ({"w": np.array([1.0, 0.0]), "n": 1}, OutOfRange, r"clip\['w'\]\[1\] is 0.0"),
        ({"w": True, "n": 1}, OutOfRange, r"clip\['w'\] is bool"),
        ({"w": 1.0}, ConfigError, r"clip: a dict with keys \['w'\], expected a dict with keys \['w', 'n'\]"),
        ({"w": np.ones(3), "n": 1}, ConfigError, r"clip\['w'\]: shape \(3,\), expected \(2,\)"),
        (10**400, ConfigError, r"clip: an int of 1329 bits"),
        (np.complex128(1), ConfigError, r"clip: entries are complex128"),
        ("1", ConfigError, r"clip: str, expected a dict"),
        (None, ConfigError, r"clip: NoneType, expected a dict"),
    ],
)
def test_clips_that_cannot_work(clip, error, message):
    with pytest.raises(error, match=message):
        clip_of(Layout.of({"w": np.zeros(2), "n": 0}), clip)


@pytest.mark.parametrize("clip", [2, 2.0, np.float32(2), np.int8(2), np.longdouble(2), np.array(2)])
def test_one_number_is_every_arrays_clip(clip):
    layout = Layout.of(np.zeros((2, 2)))
    assert [array.tolist() for array in clip_of(layout, clip)] == [2.0]


def test_clip_arrays_follow_the_entries_not_the_memory():
    layout = Layout.of(np.zeros((2, 3)))
    clip = np.arange(1.0, 7.0).reshape(2, 3)
    for given_clip in (clip, np.asfortranarray(clip), clip.astype(">f4"), clip.astype(int), clip.astype("g")):
        (flat,) = clip_of(layout, given_clip)
        assert flat.tolist() == [1, 2, 3, 4, 5, 6]
