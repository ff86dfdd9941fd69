"""A frame is its header and message exactly as they were wrapped, or WireError."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.errors import WireError
from secagg.wire import frame

half_digests = st.binary(min_size=16, max_size=16)
fields = st.tuples(
    st.sampled_from([frame.ASK, frame.REPLY]),
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    half_digests,
    half_digests,
    st.binary(max_size=50),
)


@given(parts=fields)
def test_round_trip(parts):
    unwrapped = frame.unwrap(frame.wrap(*parts))
    found = (unwrapped.direction, unwrapped.phase, unwrapped.party, unwrapped.tag, unwrapped.answers, unwrapped.body)
    assert found == parts


def test_the_layout_is_the_documented_one():
    tag, answers = bytes(range(16)), bytes(range(16, 32))
    head = b"SAGG" + bytes([3, 1, 7, 0]) + (0x01020304).to_bytes(4, "little") + tag + answers
    checksum = hashlib.sha256(head + b"message").digest()[:16]
    assert frame.wrap(frame.REPLY, 7, 0x01020304, tag, answers, b"message") == head + checksum + b"message"
    assert len(head + checksum) == frame.HEADER_SIZE


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_other_buffers(kind):
    data = frame.wrap(frame.ASK, 0, 1, bytes(16), frame.NO_ASK, b"x")
    assert frame.unwrap(kind(data)) == frame.unwrap(data)


@given(parts=fields, draw=st.data())
def test_every_changed_bit_is_found(parts, draw):
    data = bytearray(frame.wrap(*parts))
    bit = draw.draw(st.integers(0, 8 * len(data) - 1))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(WireError):
        frame.unwrap(bytes(data))


@given(parts=fields, tail=st.binary(min_size=1, max_size=3))
def test_truncations_and_trailing_bytes(parts, tail):
    data = frame.wrap(*parts)
    for wrong in (data + tail, *(data[:end] for end in range(len(data)))):
        with pytest.raises(WireError):
            frame.unwrap(wrong)


@given(data=st.binary(max_size=100))
def test_random_bytes(data):
    with pytest.raises(WireError):
        frame.unwrap(b"SAGG\x01" + data)


def resealed(offset, value):
    """A frame with one header byte changed, and the checksum that belongs to it."""
    data = bytearray(frame.wrap(frame.ASK, 0, 1, bytes(16), frame.NO_ASK, b"x"))
    data[offset] = value
    data[44:60] = hashlib.sha256(bytes(data[:44]) + b"x").digest()[:16]
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (resealed(0, 0), "wrong magic"),
        (resealed(4, 2), "frame of version 2, expected 3"),
        (resealed(5, 3), "unknown direction"),
        (resealed(7, 1), "reserved byte"),
        (b"SAGG", "frame of 4 bytes: shorter than its header of 60"),
        ("SAGG" * 20, "a str, expected bytes"),
        (None, "a NoneType, expected bytes"),
        (100, "a int, expected bytes"),
        ([1] * 100, "a list, expected bytes"),
    ],
)
def test_headers_that_no_sender_writes(data, message):
    with pytest.raises(WireError, match=message):
        frame.unwrap(data)


def test_repr_shows_no_contents():
    shown = repr(frame.unwrap(frame.wrap(frame.REPLY, 2, 3, b"T" * 16, b"A" * 16, b"message")))
    assert shown == "Frame(direction=1, phase=2, party=3, <7 bytes>)"
