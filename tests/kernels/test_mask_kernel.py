"""Every mask kernel adds exactly the streams that the definition gives, and touches nothing else."""

import json
from pathlib import Path

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.kernels import mask
from secagg.kernels.mask import aes, portable

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "aes128_ctr.json").read_text())
CANARY = 0xA5A5
LANES = [np.uint16, np.uint32, np.uint64]
GROUP = 512  # bytes of the widest kernel's group

every_kernel = pytest.mark.parametrize("name", list(mask.IMPLEMENTATIONS))
every_lane = pytest.mark.parametrize("dtype", LANES)


def test_the_twin_reproduces_sp_800_38a_f_5_1():
    case = VECTORS["sp800_38a_f51"]
    plaintext, ciphertext = bytes.fromhex(case["plaintext"]), bytes.fromhex(case["ciphertext"])
    stream = naive.counter_mode(bytes.fromhex(case["key"]), int(case["counter"], 16), len(plaintext) // 16)
    assert bytes(a ^ b for a, b in zip(plaintext, stream, strict=True)) == ciphertext


def masked(name, dtype, dim, seeds, signs, offset, shift=0):
    """A vector before and after, between canaries that must survive; `shift` lanes move it in memory."""
    room = np.full(dim + 96, CANARY, dtype)
    acc = room[16 + shift : 16 + shift + dim]
    acc[:] = np.arange(dim) * 2654435761 % 65521
    before = acc.copy()
    mask.IMPLEMENTATIONS[name](acc, seeds, np.array(signs, np.int8), offset * acc.itemsize)
    assert (room[: 16 + shift] == CANARY).all()
    assert (room[16 + shift + dim :] == CANARY).all()
    return before, acc


def some_seeds(k):
    return np.frombuffer(np.random.default_rng(k).bytes(16 * k), np.uint8).reshape(k, 16)


def total(seeds, signs, n, dtype):
    """The sum of signed streams, lane by lane, from their start."""
    return naive.add_masks(np.zeros(n, dtype), seeds, signs, 0)


@every_kernel
@every_lane
def test_the_stream_of_the_zero_key(name, dtype):
    stream = bytes.fromhex(VECTORS["counter_from_zero"]["keystream"])
    acc = np.zeros(len(stream) // np.dtype(dtype).itemsize, dtype)
    mask.IMPLEMENTATIONS[name](acc, np.zeros((1, 16), np.uint8), np.array([1], np.int8), 0)
    assert acc.tobytes() == stream


@every_kernel
@every_lane
@given(data=st.data())
def test_agrees_with_its_twin(name, dtype, data):
    signs = data.draw(st.lists(st.sampled_from([1, -1]), max_size=4))
    dim = data.draw(st.integers(0, 40))
    offset = data.draw(st.integers(0, 100) | st.integers(2**32 - 40, 2**32 + 40))
    keys = data.draw(st.binary(min_size=16 * len(signs), max_size=16 * len(signs)))
    seeds = np.frombuffer(keys, np.uint8).reshape(-1, 16)
    before, after = masked(name, dtype, dim, seeds, signs, offset, shift=data.draw(st.integers(0, 32)))
    np.testing.assert_array_equal(after, naive.add_masks(before, seeds, signs, offset))


@every_kernel
@every_lane
def test_every_short_length_from_changing_places(name, dtype):
    """Lengths 0..200, while offset in the stream and alignment in memory take every value, each at its own pace."""
    seeds, signs = some_seeds(2), [1, -1]
    streams = total(seeds, signs, 400, dtype)
    for dim in range(201):
        offset, shift = dim * 7 % 65, dim % 33
        before, after = masked(name, dtype, dim, seeds, signs, offset, shift)
        np.testing.assert_array_equal(after, before + streams[offset : offset + dim])


@every_kernel
@every_lane
@pytest.mark.parametrize("dim", [1, 64, 301])
def test_every_offset_inside_two_groups(name, dtype, dim):
    seeds, signs = some_seeds(3), [-1, 1, -1]
    offsets = 2 * GROUP // np.dtype(dtype).itemsize
    streams = total(seeds, signs, offsets + dim, dtype)
    for offset in range(0, offsets, 1 if dim == 1 else 5):
        before, after = masked(name, dtype, dim, seeds, signs, offset)
        np.testing.assert_array_equal(after, before + streams[offset : offset + dim])


@every_kernel
@every_lane
@pytest.mark.parametrize("tile", [aes.TILE, 3 * aes.TILE, portable.TILE])
def test_tiles_and_groups_meet_without_a_seam(name, dtype, tile):
    seeds, signs = some_seeds(3), [1, -1, -1]
    size = np.dtype(dtype).itemsize
    streams = total(seeds, signs, (tile + 3 * GROUP) // size, dtype)
    for dim in [(tile + around) // size + spare for around in (-GROUP, 0, 128, GROUP) for spare in (-1, 0, 1)]:
        for offset in (0, 3, 128 // size):
            before, after = masked(name, dtype, dim, seeds, signs, offset)
            np.testing.assert_array_equal(after, before + streams[offset : offset + dim])


@every_kernel
@every_lane
@pytest.mark.parametrize("blocks", [2**8, 2**16, 2**24, 2**32, 2**36 - 100])
@pytest.mark.parametrize("back", [0, 1, 33])
def test_the_counter_is_big_endian_and_carries(name, dtype, blocks, back):
    """Across the blocks at which a byte of the counter carries, and up to the end of the longest stream."""
    seeds, signs = some_seeds(2), [1, -1]
    lanes = 16 // np.dtype(dtype).itemsize
    offset = (blocks - back) * lanes + 1
    before, after = masked(name, dtype, 100 * lanes - 1, seeds, signs, offset)
    np.testing.assert_array_equal(after, naive.add_masks(before, seeds, signs, offset))


@every_kernel
@every_lane
@pytest.mark.parametrize("k", [0, 1, 2, 3, 17, portable.GROUP - 1, portable.GROUP, aes.KEYS_AT_ONCE + 1])
def test_groups_of_keys_leave_none_out(name, dtype, k):
    seeds = some_seeds(k)
    for signs in ([1] * k, [-1] * k, [1 if j % 3 else -1 for j in range(k)]):
        before, after = masked(name, dtype, 5, seeds, signs, 0)
        np.testing.assert_array_equal(after, naive.add_masks(before, seeds, signs, 0))
