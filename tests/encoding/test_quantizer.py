"""Quantized values lie inside the ring and inside the stated error; zero is exact."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.encoding.quantize import Quantizer, contiguous
from secagg.errors import OutOfRange
from secagg.testing import SeededEntropy

MODES = ("nearest", "stochastic")


def quantized(quantizer, x, clip, ratio=1.0, seed=0):
    """(integers, clipped entries) in uint64 lanes."""
    out = np.zeros(np.size(x), np.uint64)
    clipped = quantizer.quantize(np.asarray(x), np.asarray(clip, np.float64), ratio, out, SeededEntropy(seed))
    return out, clipped


@given(
    bits=st.integers(2, 32),
    mode=st.sampled_from(MODES),
    values=st.lists(st.floats(-2, 2), min_size=1, max_size=20),
    scale=st.integers(-300, 300),
    seed=st.integers(0, 2**32),
)
def test_error_of_one_value(bits, mode, values, scale, seed):
    quantizer, clip = Quantizer(bits, mode), 2.0**scale
    x = np.array(values) * clip
    out, clipped = quantized(quantizer, x, clip, seed=seed)
    assert out.min() >= 1
    assert out.max() <= 2**bits - 1
    assert clipped == sum(abs(v) > 1 for v in values)
    bound = Fraction(float(quantizer.error(np.asarray(clip))))
    back = quantizer.dequantize(out, np.asarray(clip), 1)
    for value, found in zip(x, back, strict=True):
        inside = min(max(Fraction(value), -Fraction(clip)), Fraction(clip))
        assert abs(Fraction(float(found)) - inside) <= bound


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bits", range(2, 33))
@pytest.mark.parametrize("ratio", [1.0, 0.3, 2.0**-48])
def test_zero_is_exact(mode, bits, ratio):
    quantizer = Quantizer(bits, mode)
    out, clipped = quantized(quantizer, np.array([0.0, -0.0] * 20), 0.7, ratio)
    assert set(out.tolist()) == {2 ** (bits - 1)}
    assert clipped == 0
    assert not quantizer.dequantize(out * np.uint64(9), np.asarray(0.7), 9).any()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bits", range(2, 33))
def test_the_clip_is_the_last_level(mode, bits):
    out, clipped = quantized(Quantizer(bits, mode), np.array([0.7, 5.0, -0.7, -5.0]), 0.7)
    assert out.tolist() == [2**bits - 1, 2**bits - 1, 1, 1]
    assert clipped == 2


def test_nearest_is_nearest():
    """bits=4: levels are -7..7, the offset 8, a step of the clip 7.0 is 1; halves go to even."""
    x = np.array([0.49, 0.5, 0.51, 1.5, -0.5, -0.51, 6.5, -6.51])
    out, _ = quantized(Quantizer(4), x, 7.0)
    assert (out.astype(int) - 8).tolist() == [0, 0, 1, 2, 0, -1, 6, -7]


def test_stochastic_rounding_is_unbiased():
    """A value a quarter of the way up a step goes up a quarter of the times: within five standard deviations."""
    n = 40_000
    out, _ = quantized(Quantizer(4, "stochastic"), np.full(n, 2.25), 7.0)
    ups = int((out == 11).sum())
    assert ups + int((out == 10).sum()) == n
    assert abs(ups - n / 4) < 5 * (n * 3 / 16) ** 0.5


def test_fresh_entropy_rounds_anew():
    quantizer, x = Quantizer(4, "stochastic"), np.full(200, 2.5)
    assert quantized(quantizer, x, 7.0, seed=1)[0].tolist() == quantized(quantizer, x, 7.0, seed=1)[0].tolist()
    assert quantized(quantizer, x, 7.0, seed=1)[0].tolist() != quantized(quantizer, x, 7.0, seed=2)[0].tolist()


def test_nearest_asks_for_no_entropy():
    def refuse(n):
        raise AssertionError(n)

    Quantizer(8).quantize(np.ones(3), np.asarray(1.0), 1.0, np.zeros(3, np.uint16), refuse)


@pytest.mark.parametrize("bits", [-1, 0, 1, 33])
def test_bits_out_of_range(bits):
    with pytest.raises(OutOfRange, match=f"bits is {bits}: floats need 2..32"):
        Quantizer(bits)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8", "g"])
def test_contiguous_keeps_every_value(dtype):
    x = np.array([[1.5, -0.0, 3], [np.nan, np.inf, -np.inf]], dtype)[:, ::-1]
    flat = contiguous(x)
    assert flat.dtype in (np.float32, np.float64)
    assert flat.flags.c_contiguous
    np.testing.assert_array_equal(flat, x.astype(np.float64).reshape(-1))


@pytest.mark.skipif(np.finfo("g").max == np.finfo("f8").max, reason="long double is double here")
def test_contiguous_ends_at_the_largest_float64():
    huge = np.longdouble(2) ** 2000
    edge = np.finfo(np.float64).max
    assert contiguous(np.array([huge, -huge])).tolist() == [edge, -edge]
