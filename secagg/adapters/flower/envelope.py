"""What travels inside a train message: bytes of the protocol, and what a client needs to enter a round.

Every ask has a ConfigRecord `secagg` and an ArrayRecord `secagg.frames`. Bytes travel as arrays of uint8, which
Flower cuts into chunks, and not as ConfigRecord values, which it does not. All other records are the user's.
"""

from dataclasses import dataclass
from typing import TypeVar

import msgspec
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from secagg.adapters.choice import Terms, read_terms, terms_bytes
from secagg.errors import ConfigError, PolicyRefused, WireError

__all__ = [
    "FRAMES",
    "HEADER",
    "VERSION",
    "Ask",
    "Terms",
    "ask_record",
    "read_ask",
    "read_reply",
    "read_terms",
    "reply_record",
    "terms_bytes",
    "users_part",
]

HEADER = "secagg"
FRAMES = "secagg.frames"
VERSION = 1
"""Of this envelope; both ends must have the same."""

_ASK, _REPLY, _SESSION = "ask", "reply", "session"


@dataclass(frozen=True)
class Ask:
    """One ask, as a client reads it.

    Attributes:
        phase: its name, as the server says; the ask's own bytes decide.
        frame: bytes for `Participant.answer`.
        terms, session: how to enter the round; only in a party's first ask.
    """

    phase: str
    frame: bytes
    terms: Terms | None
    session: bytes | None


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The ConfigRecord `secagg`: flat values, none of them empty, since Flower refuses to count those."""

    version: int
    phase: str
    terms: bytes | None = None


T = TypeVar("T")


def ask_record(phase: str, frame: bytes, entry: tuple[Terms, bytes] | None = None) -> RecordDict:
    """The two records of one ask; `entry` (terms, session) belongs into a party's first."""
    header = ConfigRecord({"version": VERSION, "phase": phase})
    frames = ArrayRecord({_ASK: _array(frame)})
    if entry is not None:
        header["terms"] = terms_bytes(entry[0])
        frames[_SESSION] = _array(entry[1])
    return RecordDict({HEADER: header, FRAMES: frames})


def read_ask(content: RecordDict) -> Ask:
    """The ask in a train message.

    Raises:
        PolicyRefused: there is none, so the server would get the update itself.
        ConfigError: another version of the envelope.
        WireError: an envelope that is damaged.
    """
    if HEADER not in content.config_records:
        raise PolicyRefused(
            "a train message without secure aggregation, expected one of a SecureAggregation strategy: "
            "this client's updates leave it inside a secure sum only"
        )
    header = _header(content)
    frames = content.array_records.get(FRAMES)
    if frames is None or _ASK not in frames or (header.terms is None) != (_SESSION not in frames):
        raise WireError(f"an ask of phase {header.phase!r} without its bytes in the record {FRAMES!r}")
    terms = None if header.terms is None else read_terms(header.terms)
    return Ask(header.phase, _bytes(frames[_ASK]), terms, None if terms is None else _bytes(frames[_SESSION]))


def reply_record(phase: str, reply: bytes | None) -> RecordDict:
    """The whole content of a client's reply; `reply` is None to an announcement."""
    frames = {} if reply is None else {_REPLY: _array(reply)}
    header = ConfigRecord({"version": VERSION, "phase": phase})
    return RecordDict({HEADER: header, FRAMES: ArrayRecord(frames)})


def read_reply(content: RecordDict) -> bytes | None:
    """The protocol's bytes in a reply, None where there are none. Raises WireError or ConfigError."""
    if HEADER not in content.config_records:
        raise WireError("a reply without secure aggregation, expected a ClientApp with secagg_mod")
    _header(content)
    frames = content.array_records.get(FRAMES)
    if frames is None or set(frames) - {_REPLY}:
        raise WireError(f"a reply without the record {FRAMES!r}")
    return _bytes(frames[_REPLY]) if _REPLY in frames else None


def users_part(content: RecordDict) -> RecordDict:
    """The records that are not this adapter's, in their order."""
    return RecordDict({name: record for name, record in content.items() if name not in (HEADER, FRAMES)})


def _header(content: RecordDict) -> _Header:
    record = content.config_records[HEADER]
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
    return Array(np.frombuffer(data, np.uint8))


def _bytes(array: Array) -> bytes:
    try:
        value = array.numpy()
    except (TypeError, ValueError, EOFError, OSError) as error:
        raise WireError(f"record {FRAMES!r}: {type(error).__name__} reading an array") from None
    if value.dtype != np.uint8 or value.ndim != 1:
        raise WireError(f"record {FRAMES!r}: {value.dtype} of shape {value.shape}, expected a row of uint8")
    return value.tobytes()
