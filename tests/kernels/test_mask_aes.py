"""The kernels on AES instructions: their key schedule, their 512-bit form, their threads, what they leave behind."""

import os
from functools import partial

import naive
import numpy as np
import pytest
from guarded import guarded
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from secagg.kernels import mask
from secagg.kernels.mask import aes

if "aesni" not in mask.IMPLEMENTATIONS:
    pytest.skip("this processor has no AES instructions that these kernels use", allow_module_level=True)

LANES = [np.uint16, np.uint32, np.uint64]
WIDTHS = [mask.FAST[name][0] for name in mask.IMPLEMENTATIONS if name in mask.FAST]

every_lane = pytest.mark.parametrize("dtype", LANES)
every_width = pytest.mark.parametrize("bits", WIDTHS)


def some_seeds(k):
    return np.frombuffer(np.random.default_rng(k).bytes(16 * k), np.uint8).reshape(k, 16)


def signs_of(k):
    return np.array([1 if j % 3 else -1 for j in range(k)], np.int8)


def agrees(dtype, dim, k, offset, *, bits, threads=1):
    seeds, signs = some_seeds(k), signs_of(k)
    acc = np.arange(dim, dtype=dtype)
    expected = naive.add_masks(acc, seeds, signs, offset)
    aes.add_masks(acc, seeds, signs, offset * acc.itemsize, vector_bits=bits, threads=threads)
    np.testing.assert_array_equal(acc, expected)


class TestKeySchedule:
    """FIPS 197, appendix A.1."""

    KEY = "2b7e151628aed2a6abf7158809cf4f3c"
    FIRST = "a0fafe1788542cb123a339392a6c7605"  # w4..w7
    LAST = "d014f9a8c9ee2589e13f0cc8b6630ca6"  # w40..w43

    def expanded(self, sign):
        seeds = np.frombuffer(bytes.fromhex(self.KEY), np.uint8).reshape(1, 16)
        return aes._expanded(seeds, np.array([sign], np.int8))[0]

    def test_known_answer(self):
        rows = self.expanded(1)
        assert [rows[i].tobytes().hex() for i in (0, 1, 10)] == [self.KEY, self.FIRST, self.LAST]

    def test_a_negative_sign_complements_the_last_row_alone(self):
        plus, minus = self.expanded(1), self.expanded(-1)
        np.testing.assert_array_equal(minus[:10], plus[:10])
        np.testing.assert_array_equal(minus[10], ~plus[10])


@pytest.fixture(scope="class")
def emulated():
    emit = aes._emit_round

    def quarters(builder, instruction, vector, round_key):
        if vector.type.count == 2:
            return emit(builder, instruction, vector, round_key)
        half = vector.type.count // 2
        halves = [range(half), range(half, 2 * half)]
        done = [
            quarters(builder, instruction, *(aes._shuffled(builder, v, v, list(part)) for v in (vector, round_key)))
            for part in halves
        ]
        return aes._shuffled(builder, *done, list(range(2 * half)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aes, "_emit_round", quarters)
        patch.setattr(aes, "_add_streams", njit(aes._add_streams.py_func, nogil=True, error_model="numpy"))
        yield


@pytest.mark.nightly
@pytest.mark.usefixtures("emulated")
class TestWithoutTheInstructions:
    """The 512-bit kernel as its generator makes it, each instruction replaced by four of 128 bits."""

    @every_lane
    @pytest.mark.parametrize("dim", [0, 1, 31, 300, aes.TILE // 2 + 77])
    @pytest.mark.parametrize("offset", [0, 1, 255, 2**30 + 5])
    def test_agrees_with_the_twin(self, dtype, dim, offset):
        agrees(dtype, dim, 3, offset, bits=512)

    @every_lane
    def test_across_the_carry_into_the_fifth_byte(self, dtype):
        agrees(dtype, 900, 2, (2**32 - 20) * 16 // np.dtype(dtype).itemsize + 1, bits=512)


@every_width
class TestThreads:
    @every_lane
    @pytest.mark.parametrize("threads", [1, 2, 3, 8])
    def test_the_result_does_not_depend_on_them(self, bits, dtype, threads, monkeypatch):
        monkeypatch.setattr(aes, "PIECE", aes.TILE)
        agrees(dtype, 5 * aes.TILE // np.dtype(dtype).itemsize + 19, 2, 5, bits=bits, threads=threads)

    def test_what_a_thread_raises_reaches_the_caller(self, bits, monkeypatch):
        def fails(*arguments):
            raise MemoryError

        monkeypatch.setattr(aes, "PIECE", aes.TILE)
        monkeypatch.setattr(aes, "_add_streams", fails)
        with pytest.raises(MemoryError):
            agrees(np.uint32, aes.TILE, 2, 0, bits=bits, threads=2)


@given(size=st.integers(0, 10**7), k=st.integers(1, 256), threads=st.integers(1, 64))
def test_pieces_cover_the_vector_once_and_are_worth_a_thread(size, k, threads):
    acc = np.broadcast_to(np.uint32(0), size)
    pieces = [range(size)[piece] for piece in aes._pieces(acc, k, threads)]
    assert sum(len(piece) for piece in pieces) == size
    assert [piece.start for piece in pieces] == [0, *(piece.stop for piece in pieces)][: len(pieces)]
    assert len(pieces) <= 4 * threads
    assert all(len(piece) * 4 * k >= aes.PIECE for piece in pieces[:-1])


@every_width
@pytest.mark.parametrize("fails", [False, True])
def test_round_keys_and_tiles_are_wiped(bits, fails, monkeypatch):
    """Also when the kernel does not come to its end."""
    rooms, held = [], []
    aligned, add_streams = aes.aligned, aes._add_streams

    def watched(shape, dtype):
        rooms.append(aligned(shape, dtype))
        return rooms[-1]

    def ended(*arguments):
        add_streams(*arguments)
        held.extend(room.any() for room in rooms)
        if fails:
            raise KeyboardInterrupt

    monkeypatch.setattr(aes, "aligned", watched)
    monkeypatch.setattr(aes, "_add_streams", ended)
    try:
        agrees(np.uint32, 1000, 3, 0, bits=bits)
    except KeyboardInterrupt:
        assert fails
    assert held == [True, True]
    assert not any(room.any() for room in rooms)


@pytest.mark.skipif(os.name != "posix", reason="mprotect is POSIX")
@every_width
@every_lane
class TestGuardPages:
    """Memory that ends where a page begins that cannot even be read."""

    @pytest.mark.parametrize("dim", [1, 13, 257, 4000])
    def test_around_the_accumulator(self, bits, dtype, dim):
        seeds, signs = some_seeds(2), signs_of(2)
        for end in (False, True):
            lanes = guarded((dim,), dtype, end)
            expected = naive.add_masks(lanes, seeds, signs, 3)
            aes.add_masks(lanes, seeds, signs, 3 * lanes.itemsize, vector_bits=bits, threads=1)
            np.testing.assert_array_equal(lanes, expected)

    @pytest.mark.parametrize("k", [1, 7])
    def test_around_the_tile_and_the_round_keys(self, bits, dtype, k, monkeypatch):
        """All that the instructions touch; both sizes are multiples of 16, so both ends can be aligned."""
        for end in (False, True):
            monkeypatch.setattr(aes, "aligned", partial(guarded, end=end))
            agrees(dtype, aes.TILE // np.dtype(dtype).itemsize + 11, k, 1, bits=bits)
