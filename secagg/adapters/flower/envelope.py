"""What travels inside a train message: bytes of the protocol, and what a client needs to enter a round or prepare one.

Every ask has a ConfigRecord `secagg` and an ArrayRecord `secagg.frames`. Bytes travel as the data of arrays, which
Flower cuts into chunks, and not as ConfigRecord values, which it does not; of a serialization of their own, since
NumPy's costs more than all else that an envelope does. All other records are the user's.
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from secagg.errors import ConfigError, PolicyRefused, WireError
from secagg.federation.messages import PREPARE, Ahead, Ask, Reply

HEADER = "secagg"
FRAMES = "secagg.frames"
VERSION = 4
"""Of this envelope; both ends must have the same."""

_ASK, _REPLY, _SESSION, _PREPARED = "ask", "reply", "session", "prepared"
_RAW = "secagg.bytes"
"""Serialization type of the arrays: their data are the bytes."""

R = TypeVar("R", ArrayRecord, ConfigRecord)


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The ConfigRecord `secagg`: flat values, none of them empty, since Flower refuses to count those."""

    version: int
    phase: str
    terms: bytes | None = None
    ahead: bytes | None = None


def ask_record(ask: Ask) -> RecordDict:
    """The two records of one ask."""
    header = ConfigRecord({"version": VERSION, "phase": ask.phase})
    if ask.terms is not None:
        header["terms"] = ask.terms
    if ask.ahead is not None:
        header["ahead"] = msgspec.json.encode(ask.ahead)
    found = {_ASK: None if ask.phase == PREPARE else ask.frame, _SESSION: ask.session}
    return RecordDict({HEADER: header, FRAMES: _frames(found)})


def read_ask(content: RecordDict) -> Ask:
    """The ask in a train message.

    Raises:
        PolicyRefused: there is none, so the server would get the update itself.
        ConfigError: another version of the envelope.
        WireError: an envelope that is damaged.
    """
    header = _header(content)
    if header is None:
        raise PolicyRefused(
            "a train message without secure aggregation, expected one of a SecureAggregation strategy: "
            "this client's updates leave it inside a secure sum only"
        )
    ahead = None if header.ahead is None else _read_ahead(header.ahead)
    frames = record_of(content, FRAMES, ArrayRecord)
    if header.phase == PREPARE and header.terms is not None and ahead is not None:
        return Ask(PREPARE, b"", header.terms, None, ahead)
    if frames is None or _ASK not in frames or (header.terms is None) != (_SESSION not in frames):
        raise WireError(f"an ask of phase {header.phase!r} without its bytes in the record {FRAMES!r}")
    session = None if header.terms is None else _bytes(frames[_SESSION])
    return Ask(header.phase, _bytes(frames[_ASK]), header.terms, session, ahead)


def reply_record(reply: Reply) -> RecordDict:
    """The whole content of a client's reply."""
    header = ConfigRecord({"version": VERSION, "phase": reply.phase})
    return RecordDict({HEADER: header, FRAMES: _frames({_REPLY: reply.frame, _PREPARED: reply.prepared})})


def read_reply(content: RecordDict) -> Reply:
    """What a reply holds. Raises WireError or ConfigError."""
    header = _header(content)
    if header is None:
        raise WireError("a reply without secure aggregation, expected a ClientApp with secagg_mod")
    frames = record_of(content, FRAMES, ArrayRecord)
    if frames is None or set(frames) - {_REPLY, _PREPARED}:
        raise WireError(f"a reply without the record {FRAMES!r}")
    return Reply(header.phase, *(_bytes(frames[name]) if name in frames else None for name in (_REPLY, _PREPARED)))


def record_of(content: RecordDict, name: str, kind: type[R]) -> R | None:
    """The record of that name, if there is one of that kind. Flower's own views copy all records at each look."""
    record = content.get(name)
    return record if isinstance(record, kind) else None


def users_part(content: RecordDict) -> RecordDict:
    """The records that are not this adapter's, in their order."""
    return RecordDict({name: record for name, record in content.items() if name not in (HEADER, FRAMES)})


def _read_ahead(data: bytes) -> Ahead:
    try:
        return msgspec.json.decode(data, type=Ahead)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not a round to prepare for: {error}") from None


def _header(content: RecordDict) -> _Header | None:
    """None where there is none. Raises ConfigError for another version, WireError for a damaged one."""
    record = record_of(content, HEADER, ConfigRecord)
    if record is None:
        return None
    version = record.get("version")
    if version != VERSION:
        raise ConfigError(
            f"the other end speaks version {version!r} of this adapter, expected {VERSION}: "
            "install the same version of secagg at the server and at every client"
        )
    try:
        return msgspec.convert(dict(record), type=_Header)
    except msgspec.ValidationError as error:
        raise WireError(f"record {HEADER!r}: {error}") from None


def _frames(found: Mapping[str, bytes | None]) -> ArrayRecord:
    return ArrayRecord({name: _array(data) for name, data in found.items() if data is not None})


def _array(data: bytes) -> Array:
    return Array("uint8", (len(data),), _RAW, data)


def _bytes(array: Array) -> bytes:
    if (array.dtype, tuple(array.shape), array.stype) != ("uint8", (len(array.data),), _RAW):
        raise WireError(
            f"record {FRAMES!r}: {array.dtype} of shape {array.shape} serialized as {array.stype!r}, "
            f"expected {len(array.data)} uint8 as {_RAW!r}"
        )
    return array.data
