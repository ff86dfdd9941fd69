"""What is packed into one byte string has one encoding; anything else raises WireError and names what it was."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.errors import WireError
from secagg.wire.packed import check_rows, check_size, pack_bits, pack_set, rows, unpack_bits, unpack_set


def test_bit_i_is_bit_i_mod_8_of_byte_i_div_8():
    assert pack_bits([True, False, False, True, False, False, False, False, False, True]) == bytes([0b1001, 0b10])
    assert pack_set([9, 0, 3], 10) == bytes([0b1001, 0b10])
    assert pack_bits([]) == pack_set([], 0) == b""


@given(st.lists(st.booleans(), max_size=40))
def test_bits_are_read_as_written(bits):
    found = unpack_bits(pack_bits(bits), len(bits))
    assert found.dtype == np.bool_
    assert found.tolist() == bits


@given(st.sets(st.integers(0, 40)), st.integers(0, 7))
def test_a_set_of_parties_is_read_as_written(chosen, more):
    parties = max(chosen, default=0) + 1 + more
    assert unpack_set(pack_set(chosen, parties), parties) == chosen


@given(st.binary(max_size=3), st.integers(0, 20))
def test_any_bytes_are_one_set_or_none(data, parties):
    try:
        found = unpack_set(data, parties)
    except WireError:
        assert len(data) != (parties + 7) // 8 or int.from_bytes(data, "little") >> parties
    else:
        assert pack_set(found, parties) == data


def test_rows_of_equal_size():
    assert rows(b"aabbcc", 2, 3, "pairs") == [b"aa", b"bb", b"cc"]
    assert rows(b"", 2, 0, "pairs") == []
    with pytest.raises(WireError, match="pairs of 5 bytes: expected 3 rows of 2"):
        rows(b"aabbc", 2, 3, "pairs")
    with pytest.raises(WireError, match="pairs of 7 bytes: expected 3 rows of 2"):
        check_rows(b"aabbccd", 2, 3, "pairs")
    with pytest.raises(WireError, match="key of 31 bytes: expected 32"):
        check_size(bytes(31), 32, "key")
