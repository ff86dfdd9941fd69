"""Every mask kernel adds exactly the streams that the definition gives, and touches nothing else."""

import json
from pathlib import Path

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.errors import ConfigError
from secagg.kernels import mask
from secagg.kernels.mask import portable

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "aes128_ctr.json").read_text())
CANARY = 0xA5A5
LANES = [np.uint16, np.uint32, np.uint64]
IMPLEMENTATIONS = list(mask.IMPLEMENTATIONS.values())


def test_the_twin_reproduces_sp_800_38a_f_5_1():
    case = VECTORS["sp800_38a_f51"]
    plaintext, ciphertext = bytes.fromhex(case["plaintext"]), bytes.fromhex(case["ciphertext"])
    stream = naive.counter_mode(bytes.fromhex(case["key"]), int(case["counter"], 16), len(plaintext) // 16)
    assert bytes(a ^ b for a, b in zip(plaintext, stream, strict=True)) == ciphertext


def masked(add_masks, dtype, dim, seeds, signs, offset):
    """A vector before and after, between canaries that must survive."""
    room = np.full(dim + 32, CANARY, dtype)
    acc = room[16 : 16 + dim]
    acc[:] = np.arange(dim) * 2654435761 % 65521
    before = acc.copy()
    add_masks(acc, seeds, np.array(signs, np.int8), offset * acc.itemsize)
    assert (room[:16] == CANARY).all()
    assert (room[16 + dim :] == CANARY).all()
    return before, acc


@pytest.mark.parametrize("add_masks", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", LANES)
@given(data=st.data())
def test_agrees_with_its_twin(add_masks, dtype, data):
    signs = data.draw(st.lists(st.sampled_from([1, -1]), max_size=4))
    dim = data.draw(st.integers(0, 40))
    offset = data.draw(st.integers(0, 100) | st.integers(2**32 - 40, 2**32 + 40))
    keys = data.draw(st.binary(min_size=16 * len(signs), max_size=16 * len(signs)))
    seeds = np.frombuffer(keys, np.uint8).reshape(-1, 16)
    before, after = masked(add_masks, dtype, dim, seeds, signs, offset)
    np.testing.assert_array_equal(after, naive.add_masks(before, seeds, signs, offset))


@pytest.mark.parametrize("add_masks", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", LANES)
@pytest.mark.parametrize("spare", [-1, 0, 1, 7])
def test_tiles_meet_without_a_seam(add_masks, dtype, spare):
    dim = portable.TILE // np.dtype(dtype).itemsize + spare
    seeds = np.arange(48, dtype=np.uint8).reshape(3, 16)
    before, after = masked(add_masks, dtype, dim, seeds, [1, -1, -1], 3)
    np.testing.assert_array_equal(after, naive.add_masks(before, seeds, [1, -1, -1], 3))


@pytest.mark.parametrize("add_masks", IMPLEMENTATIONS)
@pytest.mark.parametrize("k", [portable.GROUP - 1, portable.GROUP, portable.GROUP + 1])
def test_groups_of_keys_leave_none_out(add_masks, k):
    seeds = np.zeros((k, 16), np.uint8)
    seeds[:, 0], seeds[:, 1] = np.arange(k) % 256, np.arange(k) // 256
    signs = [1 if j % 3 else -1 for j in range(k)]
    before, after = masked(add_masks, np.uint32, 5, seeds, signs, 0)
    np.testing.assert_array_equal(after, naive.add_masks(before, seeds, signs, 0))


@pytest.fixture
def fresh_choice():
    mask.selected.cache_clear()
    yield
    mask.selected.cache_clear()


@pytest.mark.usefixtures("fresh_choice")
class TestChoice:
    def test_the_first_is_taken_unless_the_variable_names_another(self, monkeypatch):
        monkeypatch.delenv("SECAGG_KERNEL", raising=False)
        assert mask.selected() == next(iter(mask.IMPLEMENTATIONS))

    @pytest.mark.parametrize("name", list(mask.IMPLEMENTATIONS))
    def test_the_variable_names_one(self, monkeypatch, name):
        monkeypatch.setenv("SECAGG_KERNEL", name)
        assert mask.selected() == name

    def test_an_unknown_one_is_refused_with_the_choices(self, monkeypatch):
        monkeypatch.setenv("SECAGG_KERNEL", "abacus")
        with pytest.raises(ConfigError, match=r"'abacus'.*choose one of: .*portable"):
            mask.add_masks(np.zeros(1, np.uint32), np.zeros((0, 16), np.uint8), np.zeros(0, np.int8), 0)
