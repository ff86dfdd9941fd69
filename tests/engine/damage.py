"""Frames that are sound outside and changed inside."""

import msgspec
from hypothesis import strategies as st

from secagg.wire import codec, frame


def rewrapped(data, **changes):
    """The frame `data` with other header fields or body, and the checksum that belongs to it."""
    found = frame.unwrap(data)
    fields = {name: getattr(found, name) for name in ("direction", "phase", "party", "tag", "answers", "body")}
    return frame.wrap(*(fields | changes).values())


def with_field(data, kind, name, value):
    """The frame around the same message with one field replaced."""
    message = codec.decode(frame.unwrap(data).body, kind)
    return rewrapped(data, body=codec.encode(msgspec.structs.replace(message, **{name: value})))


@st.composite
def changed(draw, value):
    """Other bytes than `value`, near and far from it."""
    flipped = bytearray(value or b"\0")
    flipped[draw(st.integers(0, len(flipped) - 1))] ^= 1 << draw(st.integers(0, 7))
    candidates = [
        bytes(flipped),
        value[:-1] + b"\xff",
        value[:-1],
        value[: len(value) // 2],
        value + b"\0",
        value + value,
        b"",
        bytes(len(value)),
        b"\xff" * len(value),
        draw(st.binary(min_size=len(value), max_size=len(value))),
    ]
    return draw(st.sampled_from([candidate for candidate in candidates if candidate != value]))
