"""Inputs as large as they go, so that a sum wraps around in silence, as it does in frameworks whose ring is that of one
input (issue 5; Bonawitz et al. 2017, section 4, asks for a ring of n times the input's range).
"""

import numpy as np
import pytest

from secagg import aggregate
from secagg.encoding.ring import Ring
from secagg.errors import ConfigError, NotFinite
from secagg_protocols import PairwiseMasking

N = 7


def largest(bits):
    return {i: np.full(5, 2**bits - 1, np.uint64) for i in range(N)}


@pytest.fixture
def _ring_of_one_input(monkeypatch):
    monkeypatch.setattr(Ring, "holding", classmethod(lambda cls, inputs, bits: cls(bits)))
    monkeypatch.setattr(PairwiseMasking, "capacity", lambda self, session: N)


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_capacity_refuses_a_ring_of_one_input(monkeypatch, bits):
    monkeypatch.setattr(Ring, "holding", classmethod(lambda cls, inputs, bits: cls(bits)))
    with pytest.raises(ConfigError, match=f"sums 1 inputs of this session exactly, and it has {N}"):
        aggregate(largest(bits), PairwiseMasking(), bits=bits)


@pytest.mark.usefixtures("_ring_of_one_input")
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_a_ring_of_one_input_wraps_in_silence(bits):
    out = aggregate(largest(bits), PairwiseMasking(), bits=bits)
    assert not out.misbehaved
    np.testing.assert_array_equal(out.ring_sum, 2**bits - N)


@pytest.mark.parametrize("bits", [1, 8, 15, 16, 17, 31, 32])
def test_ours_holds_the_sum_of_all(bits):
    out = aggregate(largest(bits), PairwiseMasking(), bits=bits)
    np.testing.assert_array_equal(out.ring_sum, N * (2**bits - 1))
    np.testing.assert_array_equal(out.sum, N * (2**bits - 1))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("bits", [2, 16, 32])
def test_floats_beyond_the_clip_are_clipped_and_counted(sign, bits):
    updates = {i: np.full(5, sign * 1e300) for i in range(N)}
    out = aggregate(updates, PairwiseMasking(), bits=bits, clip=0.5)
    np.testing.assert_array_equal(out.mean, sign * 0.5)
    assert out.saturated == N * 5


@pytest.mark.usefixtures("_ring_of_one_input")
def test_the_same_floats_come_out_with_another_sign_in_a_small_ring():
    updates = {i: np.full(5, 0.5) for i in range(N)}
    out = aggregate(updates, PairwiseMasking(), bits=16, clip=0.5)
    assert (out.mean < 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_with_party_and_position(value):
    updates = {i: np.zeros(5) for i in range(N)}
    updates[4][3] = value
    with pytest.raises(NotFinite, match=r"party 4: update\[3\]"):
        aggregate(updates, PairwiseMasking())


def test_the_heaviest_weights_do_not_wrap():
    updates = {i: np.full(3, 1.0) for i in range(N)}
    most = 2**48
    out = aggregate(updates, PairwiseMasking(), weights=dict.fromkeys(range(N), most), weight_max=most)
    assert out.weight == N * most
    np.testing.assert_array_equal(out.mean, 1.0)
