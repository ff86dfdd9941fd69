"""Typed messages to canonical bytes and back. Decoding is total: a message, or WireError.

The bytes are MessagePack arrays without field names. What peers send in a round holds numbers and byte strings, never
a list of small things (which would grow many times over when decoded): rows of equal size are packed into one byte
string. Where a list is the right shape (a session's parties, an update's structure) its length has a bound.
"""

from typing import Any, TypeVar

import msgspec

from secagg.errors import WireError
from secagg.spans import span


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of everything that travels. Its repr shows types and sizes, never contents."""

    def __repr__(self) -> str:
        return _sizes(self)


class State(msgspec.Struct, array_like=True, forbid_unknown_fields=True, dict=True):
    """Base of what one end holds and changes between two calls; it is saved as it is. Its repr is a message's.

    Vectors are `bytearray`s, which NumPy views in place. What is computed from state stands in its `__dict__`, which is
    not saved.
    """

    def __repr__(self) -> str:
        return _sizes(self)


M = TypeVar("M", bound=msgspec.Struct)
S = TypeVar("S", bound=State)
_MALFORMED = msgspec.DecodeError, RecursionError, UnicodeDecodeError, OverflowError, ValueError, TypeError


@span("message codec")
def encode(message: msgspec.Struct) -> bytes:
    """The one encoding of `message`."""
    return msgspec.msgpack.encode(message)


@span("message codec")
def decode(data: bytes | memoryview, kind: type[M]) -> M:
    """The `kind` whose encoding is exactly `data`; anything else raises WireError."""
    try:
        message = msgspec.msgpack.decode(data, type=kind)
        canonical = encode(message)  # may nest a little deeper than decoding did
    except _MALFORMED as error:
        raise WireError(f"not a {kind.__name__}: {_reason(error)}") from None
    if canonical != data:
        raise WireError(f"not the canonical encoding of this {kind.__name__}")
    return message


def load(data: bytes | memoryview, kind: type[S]) -> S:
    """The state that `encode` wrote; anything else raises WireError. Of equal states the bytes may differ: sets do."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except _MALFORMED as error:
        raise WireError(f"not a {kind.__name__}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Why decoding failed: msgspec names types and positions only, other errors may quote contents."""
    return str(error) if isinstance(error, msgspec.DecodeError) else type(error).__name__


def _sizes(struct: msgspec.Struct) -> str:
    fields = ", ".join(f"{name}={_size(getattr(struct, name))}" for name in struct.__struct_fields__)
    return f"{type(struct).__name__}({fields})"


def _size(value: Any) -> str:
    if isinstance(value, bytes | bytearray):
        return f"<{len(value)} bytes>"
    if isinstance(value, list | tuple | dict | set | frozenset):
        return f"<{len(value)} items>"
    if isinstance(value, msgspec.Struct):
        return repr(value)
    return f"<{type(value).__name__}>"
