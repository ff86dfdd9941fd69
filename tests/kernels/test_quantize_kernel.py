"""The quantizer is exact against its twin, stays in its range, and rounds without bias."""

from fractions import Fraction

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.kernels.quantize import first_not_finite, quantize
from secagg.primitives import prg

CANARY = 0xA5A5
bits = st.integers(1, 32)
ratios = st.floats(2.0**-20, 1.0)
clips = st.floats(1e-300, 1e300)


def lane_of(bits):
    return np.uint16 if bits <= 16 else np.uint32


def quantized(x, clip, ratio, bits, dtype=None, noise=None):
    """(saturated, entries), from a buffer between canaries that must survive."""
    room = np.full(x.size + 16, CANARY, dtype or lane_of(bits))
    saturated = quantize(x, clip, ratio, bits, room[8 : 8 + x.size], noise)
    assert (room[:8] == CANARY).all()
    assert (room[8 + x.size :] == CANARY).all()
    return saturated, room[8 : 8 + x.size].tolist()


@st.composite
def vectors(draw, clip):
    """Values around [-clip, clip], both ends and zero among them."""
    inside = st.floats(-1.25, 1.25).map(lambda u: u * clip)
    return np.array(draw(st.lists(inside | st.sampled_from([0.0, -0.0, clip, -clip]), max_size=30)))


@given(data=st.data(), bits=bits, ratio=ratios, clip=clips)
def test_nearest_is_its_twin_exactly(data, bits, ratio, clip):
    x = data.draw(vectors(clip))
    saturated, entries = quantized(x, clip, ratio, bits)
    offset = 2 ** (bits - 1)
    assert entries == [naive.nearest(naive.scaled(v, clip, ratio, bits)) + offset for v in x.tolist()]
    assert saturated == sum(abs(v) > clip for v in x.tolist())


@given(data=st.data(), bits=bits, ratio=ratios, clip=clips)
def test_nearest_is_within_half_a_step_of_the_rational_value(data, bits, ratio, clip):
    x = data.draw(vectors(clip))
    _, entries = quantized(x, clip, ratio, bits)
    levels = 2 ** (bits - 1) - 1
    for v, entry in zip(x.tolist(), entries, strict=True):
        clipped = min(max(Fraction(v), -Fraction(clip)), Fraction(clip))
        exact = clipped * Fraction(ratio) * levels / Fraction(clip)
        assert abs(entry - (levels + 1) - exact) <= Fraction(1, 2) + abs(exact) * Fraction(1, 2**51)


@given(data=st.data(), bits=bits, ratio=ratios)
def test_a_clip_per_entry(data, bits, ratio):
    each = data.draw(st.lists(clips, min_size=2, max_size=20))
    x = np.array([data.draw(st.floats(-2, 2)) * clip for clip in each])
    x = np.clip(x, -1e308, 1e308)
    saturated, entries = quantized(x, np.array(each), ratio, bits)
    alone = [quantized(x[i : i + 1], clip, ratio, bits) for i, clip in enumerate(each)]
    assert entries == [entry for _, (entry,) in alone]
    assert saturated == sum(count for count, _ in alone)


@given(data=st.data(), bits=bits, ratio=ratios, clip=clips)
def test_stochastic_is_its_twin_exactly(data, bits, ratio, clip):
    x = data.draw(vectors(clip))
    words = st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 2**32 - 1])
    noise = data.draw(st.lists(words, min_size=x.size, max_size=x.size))
    saturated, entries = quantized(x, clip, ratio, bits, noise=np.array(noise, np.uint32))
    scaled = [naive.scaled(v, clip, ratio, bits) for v in x.tolist()]
    offset = 2 ** (bits - 1)
    assert entries == [naive.stochastic(v, u) + offset for v, u in zip(scaled, noise, strict=True)]
    assert saturated == sum(abs(v) > clip for v in x.tolist())


@pytest.mark.parametrize("bits", range(1, 33))
@pytest.mark.parametrize("word", [0, 2**31, 2**32 - 1])
def test_no_rounding_leaves_the_range(bits, word):
    ends = [np.nextafter(1.0, 0), 1.0, 7.0]
    x = np.array([sign * end for end in ends for sign in (1, -1)])
    for noise in (None, np.full(x.size, word, np.uint32)):
        _, entries = quantized(x, 1.0, 1.0, bits, noise=noise)
        assert all(1 <= entry <= 2**bits - 1 for entry in entries)
        assert entries[2:] == [2**bits - 1, 1] * 2  # the ends themselves are exact


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("float_type", [np.float32, np.float64])
def test_every_lane_and_both_widths(dtype, float_type):
    x = np.array([0, 0.25, -0.25, 1, -1, 3, -3], float_type)
    saturated, entries = quantized(x, 1.0, 1.0, 16, dtype)
    assert entries == [32768, 32768 + 8192, 32768 - 8192, 65535, 1, 65535, 1]
    assert saturated == 2


def test_halves_go_to_even():
    # bits = 3: three levels, so sixths of the clip lie half way between two entries
    x = np.array([1, 3, 5, -1, -3, -5]) * 0.5
    assert quantized(x, 3.0, 1.0, 3)[1] == [4 + q for q in (0, 2, 2, 0, -2, -2)]


@given(st.integers(-256, 256))
def test_stochastic_rounding_has_the_exact_mean_over_even_noise(numerator):
    """Noise at all multiples of 2**-12 in [0, 1): a value with 8 binary places is met exactly on average."""
    value = Fraction(numerator, 256)  # two bits make one level, so that nothing else is rounded
    noise = (np.arange(2**12, dtype=np.uint64) << np.uint64(20)).astype(np.uint32)
    x = np.full(noise.size, float(value))
    _, entries = quantized(x, 1.0, 1.0, 2, noise=noise)
    assert Fraction(sum(entries), noise.size) - 2 == value


@pytest.mark.parametrize("value", [0.3, -0.3, 0.001, -0.999, 63.5])
def test_stochastic_rounding_is_unbiased_on_a_real_stream(value):
    """Each entry has variance <= 1/4: the mean of n lies within 6 sigma = 3 / sqrt(n), but for 2e-9."""
    n = 1 << 20
    noise = prg.keystream(b"unbiased rounds!", n, np.uint32)
    _, entries = quantized(np.full(n, value), 127.0, 1.0, 8, noise=noise)
    assert abs(sum(entries) / n - 128 - value) < 3 / n**0.5
    assert set(entries) == {128 + int(np.floor(value)), 129 + int(np.floor(value))}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_entry_that_is_not_finite(dtype, bad):
    x = np.zeros(9, dtype)
    x[1] = np.finfo(dtype).max
    assert first_not_finite(x) == -1
    x[[4, 7]] = bad
    assert first_not_finite(x) == 4
    assert first_not_finite(x[:0]) == -1
