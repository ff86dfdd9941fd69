"""A packed vector is one little-endian integer of dim * b bits, and no other bytes stand for that vector."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.encoding.packing import add_packed, pack, packed_size, unpack
from secagg.encoding.ring import Ring
from secagg.errors import WireError

WIDTHS = range(1, 65)
SIZES = (0, 1, 2, 3, 7, 8, 9, 63, 64, 65)


def entries(dim, ring, seed=0):
    """Random entries of the ring, the edges among them."""
    draw = np.random.default_rng([dim, ring.bits, seed])
    vector = draw.integers(0, 2**ring.bits - 1, dim, np.uint64, endpoint=True)
    vector[: min(dim, 2)] = [2**ring.bits - 1, 0][: min(dim, 2)]
    return vector.astype(ring.lane)


def as_integer(vector, bits):
    return sum(int(entry) << (bits * i) for i, entry in enumerate(vector))


@pytest.mark.parametrize("bits", WIDTHS)
def test_bytes_are_one_integer_and_back(bits):
    ring = Ring(bits)
    for dim in SIZES:
        vector = entries(dim, ring)
        packed = pack(vector, ring)
        assert packed == as_integer(vector, bits).to_bytes(packed_size(dim, ring), "little")
        again = unpack(packed, dim, ring)
        assert again.dtype == ring.lane
        assert again.tolist() == vector.tolist()


@pytest.mark.parametrize("bits", WIDTHS)
def test_pack_takes_entries_mod_2_to_the_b(bits):
    ring = Ring(bits)
    vector = np.arange(20, dtype=ring.lane) - ring.lane.type(10)
    assert pack(vector, ring) == pack(ring.reduce(vector.copy()), ring)


@given(bits=st.integers(1, 64), dim=st.integers(0, 200), seed=st.integers(0, 2**32))
def test_add_packed_is_unpack_and_add(bits, dim, seed):
    ring = Ring(bits)
    accumulator = np.random.default_rng(seed).integers(0, np.iinfo(ring.lane).max, dim, ring.lane, endpoint=True)
    packed = pack(entries(dim, ring, seed), ring)
    expected = accumulator + unpack(packed, dim, ring)
    add_packed(accumulator, packed, ring)
    assert accumulator.tolist() == expected.tolist()


def refused(packed, dim, ring, message):
    """Neither reader takes the bytes, and the accumulator keeps its entries."""
    with pytest.raises(WireError, match=message):
        unpack(packed, dim, ring)
    accumulator = entries(dim, ring, seed=1)
    before = accumulator.tobytes()
    with pytest.raises(WireError, match=message):
        add_packed(accumulator, packed, ring)
    assert accumulator.tobytes() == before


@pytest.mark.parametrize("bits", WIDTHS)
def test_another_length_is_refused(bits):
    ring = Ring(bits)
    for dim in SIZES:
        packed = pack(entries(dim, ring), ring)
        message = rf"expected {len(packed)} \({dim} entries of {bits} bits\)"
        refused(packed + b"\0", dim, ring, message)
        if packed:
            refused(packed[:-1], dim, ring, message)


@pytest.mark.parametrize("bits", WIDTHS)
def test_every_set_padding_bit_is_refused(bits):
    ring = Ring(bits)
    for dim in SIZES:
        packed = pack(entries(dim, ring), ring)
        for bit in range(dim * bits, 8 * len(packed)):
            damaged = bytearray(packed)
            damaged[-1] |= 1 << bit % 8
            refused(bytes(damaged), dim, ring, "set bits after its last entry")


def test_read_only_memory_is_read_where_it_lies():
    ring = Ring(5)
    packed = pack(np.arange(9, dtype=ring.lane), ring)
    assert unpack(memoryview(packed), 9, ring).tolist() == list(range(9))
