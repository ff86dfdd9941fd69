"""The ring is the smallest that never wraps, in the narrowest lane that holds it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.encoding.ring import Ring
from secagg.errors import OutOfRange


@given(inputs=st.integers(1, 2**31), bits=st.integers(1, 32))
def test_holding_is_the_least_ring_that_holds_the_largest_sum(inputs, bits):
    largest = inputs * (2**bits - 1)
    b = Ring.holding(inputs, bits).bits
    assert largest < 2**b
    assert largest >= 2 ** (b - 1)


@given(ring=st.integers(1, 64).map(Ring), bits=st.integers(1, 32))
def test_capacity_is_the_most_values_that_do_not_wrap(ring, bits):
    most, largest = ring.capacity(bits), 2**bits - 1
    assert most * largest < 2**ring.bits <= (most + 1) * largest


@pytest.mark.parametrize("bits", range(1, 65))
def test_lane_is_the_narrowest_that_fits(bits):
    fitting = [lane for lane in (np.uint16, np.uint32, np.uint64) if np.iinfo(lane).bits >= bits]
    assert Ring(bits).lane == fitting[0]
    assert Ring(bits).zeros(3).tolist() == [0, 0, 0]
    assert Ring(bits).zeros(3).dtype == fitting[0]


@pytest.mark.parametrize("bits", range(1, 65))
def test_reduce_keeps_the_low_bits_in_place(bits):
    ring = Ring(bits)
    draw = np.random.default_rng(bits)
    vector = draw.integers(0, np.iinfo(ring.lane).max, 50, ring.lane, endpoint=True)
    expected = [int(entry) % 2**bits for entry in vector]
    assert ring.reduce(vector) is vector
    assert vector.tolist() == expected


@pytest.mark.parametrize("bits", [-1, 0, 65, 10**6])
def test_no_other_ring_exists(bits):
    with pytest.raises(OutOfRange, match=f"ring of {bits} bits: expected 1..64"):
        Ring(bits)
