"""A packed stream is one big little-endian integer, for every width, wherever it lies in memory."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.kernels.pack import pack, unpack, unpack_add

CANARY = np.uint64(0xA5A5A5A5A5A5A5A5)
WIDTHS = range(1, 65)


def lanes_for(bits):
    return [lane for lane in (np.uint16, np.uint32, np.uint64) if 8 * np.dtype(lane).itemsize >= bits]


def packed(values, bits):
    """The stream's bytes, from a buffer between canaries that must survive."""
    words = -(-values.size * bits // 64)
    room = np.full(words + 4, CANARY)
    pack(values, bits, room[2 : 2 + words])
    assert (room[:2] == CANARY).all()
    assert (room[2 + words :] == CANARY).all()
    stream, length = room[2 : 2 + words].tobytes(), -(-values.size * bits // 8)
    assert not any(stream[length:])
    return stream[:length]


def opened(stream, shift=0):
    """(words, tail) of a stream that begins `shift` bytes into read-only memory, without a copy."""
    memory = bytes(shift) + stream
    full = len(stream) // 8
    words = np.frombuffer(memory, "<u8", full, shift) if full else np.empty(0, np.uint64)
    return words, np.uint64(int.from_bytes(stream[8 * full :], "little"))


@pytest.mark.parametrize("bits", WIDTHS)
def test_against_one_big_integer(bits):
    rng = np.random.default_rng(bits)
    for n in (0, 1, 2, 3, 7, 8, 9, 63, 64, 65, 130):
        whole = rng.integers(0, 2**64, n, np.uint64, endpoint=False)
        for lane in (np.uint16, np.uint32, np.uint64):
            values = whole.astype(lane)  # wider than `bits` for most: pack truncates
            assert packed(values, bits) == naive.pack(values.tolist(), bits)


@pytest.mark.parametrize("bits", WIDTHS)
def test_unpack_and_add_read_what_the_integer_holds(bits):
    rng = np.random.default_rng(bits)
    for n in (0, 1, 2, 7, 9, 64, 131):
        stream = naive.pack([int(v) for v in rng.integers(0, 2**64, n, np.uint64)], bits)
        expected = naive.unpack(stream, bits, n)
        words, tail = opened(stream)
        for lane in lanes_for(bits):
            room = np.full(n + 8, CANARY.astype(lane))
            out = room[4 : 4 + n]
            unpack(words, tail, bits, out)
            assert out.tolist() == expected
            unpack_add(out, words, tail, bits)
            assert out.tolist() == [2 * v % 2 ** (8 * out.itemsize) for v in expected]
            assert (room[:4] == CANARY.astype(lane)).all()
            assert (room[4 + n :] == CANARY.astype(lane)).all()


@pytest.mark.parametrize("shift", range(8))
def test_a_stream_need_not_be_aligned(shift):
    values = np.arange(100, dtype=np.uint32) * 40503
    words, tail = opened(packed(values, 23), shift)
    out = np.empty_like(values)
    unpack(words, tail, 23, out)
    np.testing.assert_array_equal(out, values % 2**23)


@given(st.integers(1, 64), st.lists(st.integers(0, 2**64 - 1), max_size=200))
def test_unpack_undoes_pack(bits, values):
    array = np.array(values, np.uint64)
    words, tail = opened(packed(array, bits))
    out = np.empty_like(array)
    unpack(words, tail, bits, out)
    assert out.tolist() == [v % 2**bits for v in values]
