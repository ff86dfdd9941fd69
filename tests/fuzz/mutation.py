"""Other bytes than the valid ones: damaged at random, and sound MessagePack with other values in it."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

INTEGERS = (-(2**63), -(2**31), -2, -1, 0, 1, 2, 5, 6, 127, 128, 255, 256, 2**16, 2**31, 2**32, 2**63 - 1, 2**64 - 1)
LENGTHS = (0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 96, 1000)
LONG_HEADERS = (b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff")
"""MessagePack: an array, bytes, a text, a map of 2**32 - 1 items to come."""


def damaged(data: bytes, examples: Sequence[bytes], draw: random.Random) -> bytes:
    """`data` after one to four small accidents."""
    for _ in range(draw.randint(1, 4)):
        data = draw.choice(ACCIDENTS)(data, examples, draw)
    return data


def _flip(data: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    if not data:
        return b"\0"
    place = draw.randrange(len(data))
    return data[:place] + bytes([data[place] ^ draw.randint(1, 255)]) + data[place + 1 :]


def _cut(data: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    return data[: draw.randint(0, len(data))]


def _insert(data: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    place = draw.randint(0, len(data))
    return data[:place] + draw.choice((draw.randbytes(draw.randint(1, 9)), *LONG_HEADERS)) + data[place:]


def _repeat(data: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    start = draw.randint(0, len(data))
    end = draw.randint(start, len(data))
    return data[:end] + data[start:end] * draw.randint(1, 20) + data[end:]


def _splice(data: bytes, examples: Sequence[bytes], draw: random.Random) -> bytes:
    other = draw.choice(examples)
    return data[: draw.randint(0, len(data))] + other[draw.randint(0, len(other)) :]


ACCIDENTS: tuple[Callable[[bytes, Sequence[bytes], random.Random], bytes], ...] = (
    _flip,
    _cut,
    _insert,
    _repeat,
    _splice,
)


def revalued(data: bytes, draw: random.Random) -> bytes:
    """Sound MessagePack like `data` with one to three values changed in kind, size or place.

    Raises msgspec.DecodeError where `data` is no MessagePack.
    """
    value = msgspec.msgpack.decode(data)
    for _ in range(draw.randint(1, 3)):
        value = _changed(value, draw)
    return msgspec.msgpack.encode(value)


def _changed(value: Any, draw: random.Random) -> Any:
    """`value` with one leaf, or one list's order or length, or one map's keys, changed; deep places are as likely as
    shallow ones.
    """
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(list(value))
        return value | {key: _changed(value[key], draw)}
    if isinstance(value, dict) and value and draw.random() < 0.8:
        return _rekeyed(value, draw)
    if isinstance(value, list) and value and draw.random() < 0.85:
        place = draw.randrange(len(value))
        return [*value[:place], _changed(value[place], draw), *value[place + 1 :]]
    if isinstance(value, list) and draw.random() < 0.8:
        return _relisted(value, draw)
    if isinstance(value, bytes) and draw.random() < 0.8:
        return _rewritten(value, draw)
    if isinstance(value, int) and not isinstance(value, bool) and draw.random() < 0.8:
        return draw.choice((*INTEGERS, min(value + 1, 2**64 - 1), max(value - 1, -(2**63))))
    return draw.choice((None, True, [], [0], {}, 1.5, "", "x" * 300, b"", draw.choice(INTEGERS)))


def _relisted(value: list[Any], draw: random.Random) -> list[Any]:
    change = draw.randrange(4)
    if change == 0:
        return draw.sample(value, len(value))
    if change == 1:
        return value[: draw.randint(0, len(value))]
    if change == 2:
        return value + value[:1]
    return [*value, draw.choice(INTEGERS)]


def _rekeyed(value: dict[Any, Any], draw: random.Random) -> dict[Any, Any]:
    key = draw.choice(list(value))
    change = draw.randrange(3)
    if change == 0:
        return {other: entry for other, entry in value.items() if other != key}
    new = draw.choice((*INTEGERS, None, "", b""))
    if change == 1:
        return value | {new: value[key]}
    return {new if other == key else other: entry for other, entry in value.items()}


def _rewritten(value: bytes, draw: random.Random) -> bytes:
    """Other contents of the same length, a nested message with another value, or another length."""
    change = draw.randrange(4)
    if change == 0:
        return draw.randbytes(len(value))
    if change == 1 and value[:1] >= b"\x90":
        try:
            return revalued(value, draw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    if change == 2:
        return _flip(value, (), draw)
    return draw.randbytes(draw.choice((*LENGTHS, len(value) + 1, max(len(value) - 1, 0))))
