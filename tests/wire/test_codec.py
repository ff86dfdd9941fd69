"""Any bytes decode to the one message whose encoding they are, or raise WireError: in bounded time and memory."""

import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.errors import WireError
from secagg.wire import codec


class Sample(codec.Message, frozen=True):
    """One field of each kind that messages have."""

    number: int
    data: bytes
    text: str
    pairs: tuple[tuple[int, bytes], ...]
    maybe: int | None


samples = st.builds(
    Sample,
    number=st.integers(-(2**63), 2**64 - 1),
    data=st.binary(max_size=40),
    text=st.text(max_size=9),
    pairs=st.lists(st.tuples(st.integers(-5, 300), st.binary(max_size=9)), max_size=4).map(tuple),
    maybe=st.none() | st.integers(-300, 70_000),
)
PLAIN = Sample(5, b"ab", "t", ((1, b"c"),), None)
WRITTEN = b"\x95\x05\xc4\x02ab\xa1t\x91\x92\x01\xc4\x01c\xc0"
"""`PLAIN` by the MessagePack specification, written by hand."""


def decodes_exactly_or_not_at_all(data, kind):
    try:
        message = codec.decode(data, kind)
    except WireError:
        return
    assert codec.encode(message) == data


def test_the_encoding_is_messagepack_without_field_names():
    assert codec.encode(PLAIN) == WRITTEN


@given(message=samples)
def test_round_trip(message):
    assert codec.decode(codec.encode(message), Sample) == message
    assert codec.decode(memoryview(codec.encode(message)), Sample) == message


@given(data=st.binary(max_size=60))
def test_random_bytes(data):
    decodes_exactly_or_not_at_all(data, Sample)


@given(message=samples, draw=st.data())
def test_damaged_bytes(message, draw):
    data = bytearray(codec.encode(message))
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    decodes_exactly_or_not_at_all(bytes(data), Sample)


@given(message=samples, tail=st.binary(min_size=1, max_size=4))
def test_trailing_bytes_and_truncations(message, tail):
    data = codec.encode(message)
    with pytest.raises(WireError, match="not a Sample"):
        codec.decode(data + tail, Sample)
    for end in range(len(data)):
        with pytest.raises(WireError):
            codec.decode(data[:end], Sample)


@pytest.mark.parametrize(
    ("canonical", "other"),
    [
        (b"\x95", b"\xdc\x00\x05"),
        (b"\x95", b"\xdd\x00\x00\x00\x05"),
        (b"\x05", b"\xcc\x05"),
        (b"\x05", b"\xcd\x00\x05"),
        (b"\x05", b"\xce\x00\x00\x00\x05"),
        (b"\x05", b"\xcf" + bytes(7) + b"\x05"),
        (b"\x05", b"\xd0\x05"),
        (b"\x05", b"\xd3" + bytes(7) + b"\x05"),
        (b"\xc4\x02", b"\xc5\x00\x02"),
        (b"\xc4\x02", b"\xc6\x00\x00\x00\x02"),
        (b"\xa1t", b"\xd9\x01t"),
        (b"\xa1t", b"\xda\x00\x01t"),
    ],
    ids=[
        "array16",
        "array32",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "int8",
        "int64",
        "bin16",
        "bin32",
        "str8",
        "str16",
    ],
)
def test_longer_encodings_of_the_same_message(canonical, other):
    data = WRITTEN.replace(canonical, other, 1)
    assert msgspec.msgpack.decode(data, type=Sample) == PLAIN
    with pytest.raises(WireError, match="not the canonical encoding of this Sample"):
        codec.decode(data, Sample)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x94" + WRITTEN[1:],
        b"\x96" + WRITTEN[1:] + b"\xc0",
        b"\x85" + WRITTEN[1:],
        WRITTEN.replace(b"\x05", b"\xcb" + bytes(8), 1),
        WRITTEN.replace(b"\x05", b"\xc3", 1),
        WRITTEN.replace(b"\xc4\x02ab", b"\xa2ab", 1),
        WRITTEN.replace(b"\xa1t", b"\xa1\xff", 1),
        WRITTEN.replace(b"\xa1t", b"\xa3\xed\xa0\x80", 1),
        WRITTEN.replace(b"\xc0", b"\xd4\x01\x00", 1),
        WRITTEN.replace(b"\xc0", b"\xc1", 1),
        WRITTEN.replace(b"\xc0", b"\xd6\xff\x00\x00\x00\x00", 1),
    ],
    ids=[
        "nothing",
        "a field less",
        "a field more",
        "map",
        "float for int",
        "bool for int",
        "str for bytes",
        "no UTF-8",
        "surrogate",
        "extension",
        "reserved byte",
        "timestamp",
    ],
)
def test_wrong_types(data):
    with pytest.raises(WireError, match="not a Sample"):
        codec.decode(data, Sample)


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\x95\x05\xc6\xff\xff\xff\xff",
        b"\x95\x05\xc4\x02ab\xdb\xff\xff\xff\xff",
        b"\x95\x05\xc4\x02ab\xa1t\xdd\xff\xff\xff\xff",
        b"\x95\x05\xc4\x02ab\xa1t\xdd\xff\xff\xff\xff" + b"\x92\x01\xc4\x00" * 1000,
        b"\x91" * 100_000,
        b"\x95\x05\xc4\x02ab\xa1t" + b"\x91" * 100_000,
    ],
    ids=["array", "bytes", "text", "list", "begun list", "nested", "nested list"],
)
def test_claimed_lengths_allocate_nothing(data):
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            codec.decode(data, Sample)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_repr_shows_types_and_sizes():
    assert repr(PLAIN) == "Sample(number=<int>, data=<2 bytes>, text=<str>, pairs=<1 items>, maybe=<NoneType>)"
