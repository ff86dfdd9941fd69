"""Masks add the stream that the definition gives, from any position; a bad call writes nothing."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from secagg.errors import ConfigError, OutOfRange
from secagg.primitives import prg

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "aes128_ctr.json").read_text())
LANES = [np.uint16, np.uint32, np.uint64]
SEED = bytes(range(16))


def one_seed(seed=SEED):
    return np.frombuffer(seed, np.uint8).reshape(1, 16)


def signs(*values):
    return np.array(values, np.int8)


@pytest.mark.parametrize("dtype", LANES)
def test_known_answer(dtype):
    case = VECTORS["counter_from_zero"]
    stream = bytes.fromhex(case["keystream"])
    size = np.dtype(dtype).itemsize
    expected = [int.from_bytes(stream[i : i + size], "little") for i in range(0, len(stream), size)]
    lanes = prg.keystream(bytes.fromhex(case["seed"]), len(expected), dtype)
    assert lanes.dtype == dtype
    assert lanes.tolist() == expected


@given(st.lists(st.integers(0, 100), max_size=6))
def test_stretched_entropy_is_one_seeds_stream_in_pieces(sizes):
    drawn = []

    def entropy(n):
        drawn.append(n)
        return SEED

    source = prg.stretched(entropy)
    assert not drawn
    assert b"".join(map(source, sizes)) == prg.keystream(SEED, 4 * len(sizes) * 100, np.uint16).tobytes()[: sum(sizes)]
    assert drawn == [16][: len(sizes)]


@pytest.mark.parametrize("dtype", LANES)
@pytest.mark.parametrize("block", [255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**36 - 1])
def test_the_counter_is_big_endian_and_carries(dtype, block):
    """Lanes of single blocks, each encrypted by the bare cipher; 2**36 - 1 is the last one of a stream."""
    cipher = Cipher(algorithms.AES(SEED), modes.ECB()).encryptor()
    expected = np.frombuffer(cipher.update(block.to_bytes(16, "big")), dtype)
    acc = np.zeros(expected.size, dtype)
    prg.add_masks(acc, one_seed(), signs(1), block * expected.size)
    np.testing.assert_array_equal(acc, expected)


@pytest.mark.parametrize("dtype", LANES)
@given(data=st.data())
def test_a_sum_of_signed_streams_from_any_position(dtype, data):
    k, dim, offset = (
        data.draw(st.integers(0, 6)),
        data.draw(st.integers(0, 300)),
        data.draw(st.integers(0, 300)),
    )
    keys = data.draw(st.binary(min_size=16 * k, max_size=16 * k))
    sign = data.draw(st.lists(st.sampled_from([1, -1]), min_size=k, max_size=k))
    acc = np.arange(dim, dtype=dtype) * 40503
    expected = acc.copy()
    for j in range(k):
        stream = prg.keystream(keys[16 * j : 16 * j + 16], offset + dim, dtype)[offset:]
        expected = expected + stream if sign[j] == 1 else expected - stream
    result = prg.add_masks(acc, np.frombuffer(keys, np.uint8).reshape(k, 16), signs(*sign), offset)
    assert result is None
    np.testing.assert_array_equal(acc, expected)


@pytest.mark.parametrize("dtype", LANES)
@given(cuts=st.lists(st.integers(0, 500), max_size=6))
def test_pieces_make_the_whole(dtype, cuts):
    whole, pieces = np.zeros(500, dtype), np.zeros(500, dtype)
    seeds = np.arange(32, dtype=np.uint8).reshape(2, 16)
    prg.add_masks(whole, seeds, signs(1, -1))
    edges = [0, *sorted(cuts), 500]
    for start, end in itertools.pairwise(edges):
        prg.add_masks(pieces[start:end], seeds, signs(1, -1), start)
    np.testing.assert_array_equal(pieces, whole)


def test_opposite_signs_cancel():
    acc = np.arange(100, dtype=np.uint32)
    prg.add_masks(acc, np.repeat(one_seed(), 2, axis=0), signs(1, -1))
    np.testing.assert_array_equal(acc, np.arange(100))


def test_seeds_may_be_a_view_of_any_layout():
    """Rows of a wider table, and of one in Fortran order; both read-only."""
    table = np.arange(96, dtype=np.uint8).reshape(3, 32)
    expected = np.zeros(10, np.uint16)
    prg.add_masks(expected, table[:, :16].copy(), signs(1, 1, -1))
    for seeds in (table[:, :16], np.asfortranarray(table[:, :16])):
        seeds.flags.writeable = False
        acc = np.zeros(10, np.uint16)
        prg.add_masks(acc, seeds, signs(1, 1, -1))
        np.testing.assert_array_equal(acc, expected)


class TestRefusals:
    """Each before a byte is written."""

    @pytest.mark.parametrize(
        ("change", "error", "named"),
        [
            ({"seeds": np.zeros((2, 15), np.uint8)}, ConfigError, r"seeds: .*\(k, 16\).*\(2, 15\)"),
            ({"seeds": np.zeros((2, 16), np.int8)}, ConfigError, "seeds: .*uint8.*int8"),
            ({"seeds": np.zeros(16, np.uint8)}, ConfigError, "seeds"),
            ({"seeds": bytes(32)}, ConfigError, "seeds: .*got bytes"),
            ({"signs": np.array([1], np.int8)}, ConfigError, r"signs: expected a \(2,\) array"),
            ({"signs": np.array([1, 1], np.int64)}, ConfigError, "signs: .*int8.*int64"),
            ({"signs": np.array([1, 0], np.int8)}, ConfigError, r"signs\[1\]: .*got 0"),
            ({"signs": np.array([-128, 1], np.int8)}, ConfigError, r"signs\[0\]: .*got -128"),
            ({"offset": -1}, OutOfRange, "negative"),
            ({"offset": 1.0}, ConfigError, "integers"),
            ({"offset": 2**38 - 7}, OutOfRange, str(2**40)),
        ],
    )
    def test_arguments(self, change, error, named):
        acc = np.arange(8, dtype=np.uint32)
        arguments = {"seeds": np.zeros((2, 16), np.uint8), "signs": signs(1, 1), "offset": 0} | change
        with pytest.raises(error, match=named):
            prg.add_masks(acc, **arguments)
        np.testing.assert_array_equal(acc, np.arange(8))

    @pytest.mark.parametrize(
        "acc",
        [
            np.zeros(8, np.int32),
            np.zeros(8, np.uint8),
            np.zeros(8, np.float64),
            np.zeros(8, ">u4"),
            np.zeros((2, 4), np.uint32),
            np.zeros(16, np.uint32)[::2],
            np.frombuffer(bytes(32), np.uint32),
            np.frombuffer(bytearray(33), np.uint32, 8, 1),
            [0] * 8,
        ],
        ids=["int32", "uint8", "float", "big-endian", "2-d", "strided", "read-only", "unaligned", "list"],
    )
    def test_accumulator(self, acc):
        with pytest.raises(ConfigError, match="acc: expected"):
            prg.add_masks(acc, one_seed(), signs(1))
        assert not np.any(acc)

    def test_the_last_entry_of_a_stream_is_allowed(self):
        acc = np.zeros(8, np.uint32)
        prg.add_masks(acc, one_seed(), signs(1), 2**38 - 8)
        assert acc.any()

    @pytest.mark.parametrize("seed", [bytes(15), bytes(17), "0" * 16])
    def test_seed(self, seed):
        with pytest.raises(ConfigError, match="seed: expected 16 bytes"):
            prg.keystream(seed, 1, np.uint32)

    def test_length_and_source_of_stretched_entropy(self):
        for n, match in ((-1, "negative"), (2**40 + 1, str(2**40))):
            with pytest.raises(OutOfRange, match=match):
                prg.stretched(lambda _: SEED)(n)
        with pytest.raises(ConfigError, match=r"entropy\(16\) must return 16 bytes"):
            prg.stretched(lambda _: SEED[1:])(4)

    def test_length_and_type_of_a_keystream(self):
        with pytest.raises(OutOfRange, match="negative"):
            prg.keystream(SEED, -1, np.uint32)
        with pytest.raises(OutOfRange, match=str(2**40)):
            prg.keystream(SEED, 2**38 + 1, np.uint32)
        with pytest.raises(ConfigError, match=r"dtype: .*int32"):
            prg.keystream(SEED, 1, np.int32)
        with pytest.raises(ConfigError, match="dtype: expected uint16"):
            prg.keystream(SEED, 1, "lane")
