"""What travels inside a train message: bytes of the protocol, and what a client needs to enter a round or prepare one.

Every ask has a ConfigRecord `secagg` and an ArrayRecord `secagg.frames`. Bytes travel as the data of arrays, which
Flower cuts into chunks, and not as ConfigRecord values, which it does not; of a serialization of their own, since
NumPy's costs more than all else that an envelope does. All other records are the user's.
"""

from dataclasses import dataclass
from typing import TypeVar

import msgspec
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from secagg.adapters.choice import Terms, read_terms, terms_bytes
from secagg.adapters.run import PREPARE, Ahead
from secagg.errors import ConfigError, PolicyRefused, WireError

HEADER = "secagg"
FRAMES = "secagg.frames"
VERSION = 3
"""Of this envelope; both ends must have the same."""

_ASK, _REPLY, _SESSION, _PREPARED = "ask", "reply", "session", "prepared"
_RAW = "secagg.bytes"
"""Serialization type of the arrays: their data are the bytes."""

R = TypeVar("R", ArrayRecord, ConfigRecord)


@dataclass(frozen=True)
class Ask:
    """One ask, as a client reads it.

    Attributes:
        phase: its name, as the server says; the ask's own bytes decide.
        frame: bytes for `Participant.answer`.
        terms, session: how to enter the round; only in a party's first ask. A request to prepare has terms alone.
        ahead: the round to prepare for, if any.
    """

    phase: str
    frame: bytes
    terms: Terms | None
    session: bytes | None
    ahead: Ahead | None = None


@dataclass(frozen=True)
class Reply:
    """One reply, as the server reads it.

    Attributes:
        frame: bytes for `Coordinator.receive`, None to an announcement or a request to prepare.
        prepared: bytes for the next round's `Coordinator`.
    """

    frame: bytes | None
    prepared: bytes | None


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The ConfigRecord `secagg`: flat values, none of them empty, since Flower refuses to count those."""

    version: int
    phase: str
    terms: bytes | None = None
    ahead: bytes | None = None


def ask_record(
    phase: str, frame: bytes, entry: tuple[Terms, bytes] | None = None, ahead: Ahead | None = None
) -> RecordDict:
    """The two records of one ask; `entry` (terms, session) belongs into a party's first."""
    header = ConfigRecord({"version": VERSION, "phase": phase})
    if ahead is not None:
        header["ahead"] = msgspec.json.encode(ahead)
    frames = ArrayRecord({_ASK: _array(frame)})
    if entry is not None:
        header["terms"] = terms_bytes(entry[0])
        frames[_SESSION] = _array(entry[1])
    return RecordDict({HEADER: header, FRAMES: frames})


def prepare_record(terms: Terms, ahead: Ahead) -> RecordDict:
    """A request to prepare a round, to a client that is in none."""
    header = ConfigRecord({"version": VERSION, "phase": PREPARE})
    header["terms"], header["ahead"] = terms_bytes(terms), msgspec.json.encode(ahead)
    return RecordDict({HEADER: header, FRAMES: ArrayRecord({})})


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
        return Ask(PREPARE, b"", read_terms(header.terms), None, ahead)
    if frames is None or _ASK not in frames or (header.terms is None) != (_SESSION not in frames):
        raise WireError(f"an ask of phase {header.phase!r} without its bytes in the record {FRAMES!r}")
    terms = None if header.terms is None else read_terms(header.terms)
    session = None if terms is None else _bytes(frames[_SESSION])
    return Ask(header.phase, _bytes(frames[_ASK]), terms, session, ahead)


def reply_record(phase: str, reply: bytes | None, prepared: bytes | None = None) -> RecordDict:
    """The whole content of a client's reply; `reply` is None to an announcement or a request to prepare."""
    found = {_REPLY: reply, _PREPARED: prepared}
    frames = {name: _array(data) for name, data in found.items() if data is not None}
    header = ConfigRecord({"version": VERSION, "phase": phase})
    return RecordDict({HEADER: header, FRAMES: ArrayRecord(frames)})


def read_reply(content: RecordDict) -> Reply:
    """What a reply holds. Raises WireError or ConfigError."""
    if _header(content) is None:
        raise WireError("a reply without secure aggregation, expected a ClientApp with secagg_mod")
    frames = record_of(content, FRAMES, ArrayRecord)
    if frames is None or set(frames) - {_REPLY, _PREPARED}:
        raise WireError(f"a reply without the record {FRAMES!r}")
    return Reply(*(_bytes(frames[name]) if name in frames else None for name in (_REPLY, _PREPARED)))


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


def _array(data: bytes) -> Array:
    return Array("uint8", (len(data),), _RAW, data)


def _bytes(array: Array) -> bytes:
    if (array.dtype, tuple(array.shape), array.stype) != ("uint8", (len(array.data),), _RAW):
        raise WireError(
            f"record {FRAMES!r}: {array.dtype} of shape {array.shape} serialized as {array.stype!r}, "
            f"expected {len(array.data)} uint8 as {_RAW!r}"
        )
    return array.data
