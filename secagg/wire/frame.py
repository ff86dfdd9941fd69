"""The frame around each message: whose round, which phase, which way, whose, and in answer to what.

    offset  size  field
    0       4     magic "SAGG"
    4       1     version, 3
    5       1     direction: 0 ask (server to party), 1 reply (party to server), 2 reply prepared before its session
    6       1     phase: index in the scheme's table
    7       1     zero
    8       4     party: index in the session, little-endian
    12      16    tag: first half of a SHA-256 digest over the scheme's fingerprint and the session's digest
    28      16    answers: checksum of the ask that a reply answers; zero in an ask
    44      16    checksum: first half of SHA-256 over all that stands before it and the message
    60      ...   the message, as `codec.encode` wrote it

A reply that was prepared before its session has zeros for phase, party, tag and answers; its message says whose it is
and for which round.

The checksum finds damage and mix-ups, not forgery: who may speak as whom is for the transport (TLS) or, among
clients, for the protocol's own keys.
"""

import hashlib
import struct
from dataclasses import dataclass
from typing import Literal

from secagg.errors import WireError
from secagg.spans import span

ASK: Literal[0] = 0
REPLY: Literal[1] = 1
PREPARED: Literal[2] = 2
HEADER_SIZE = 60
HALF_DIGEST = 16
NO_ASK = NO_TAG = bytes(HALF_DIGEST)
VERSION = 3
_MAGIC = b"SAGG"
_FIELDS = struct.Struct("<4sBBBBI16s16s")


@dataclass(frozen=True)
class Frame:
    """A decoded header and the message's bytes, which are not decoded yet."""

    direction: int
    phase: int
    party: int
    tag: bytes
    answers: bytes
    checksum: bytes
    body: bytes

    def __repr__(self) -> str:
        return f"Frame(direction={self.direction}, phase={self.phase}, party={self.party}, <{len(self.body)} bytes>)"


@span("frames and their checksums")
def wrap(direction: int, phase: int, party: int, tag: bytes, answers: bytes, body: bytes) -> bytes:
    """Header and message as one byte string. `phase` is 0..255, `party` below 2**32, `tag` and `answers` 16 bytes."""
    fields = _FIELDS.pack(_MAGIC, VERSION, direction, phase, 0, party, tag, answers)
    return b"".join((fields, _checksum(fields, body), body))


@span("frames and their checksums")
def unwrap(data: bytes) -> Frame:
    """The frame in `data`; raises WireError for anything else."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise WireError(f"a {type(data).__name__}, expected bytes")
    data = bytes(data)
    if len(data) < HEADER_SIZE:
        raise WireError(f"frame of {len(data)} bytes: shorter than its header of {HEADER_SIZE}")
    magic, version, direction, phase, zero, party, tag, answers = _FIELDS.unpack_from(data)
    checksum, body = data[_FIELDS.size : HEADER_SIZE], data[HEADER_SIZE:]
    if magic != _MAGIC:
        raise WireError("no secagg frame: wrong magic")
    if version != VERSION:
        raise WireError(f"frame of version {version}, expected {VERSION}")
    if checksum != _checksum(data[: _FIELDS.size], body):
        raise WireError("frame damaged on its way: wrong checksum")
    if direction not in (ASK, REPLY, PREPARED) or zero != 0:
        raise WireError("frame header with an unknown direction or a set reserved byte")
    return Frame(direction, phase, party, tag, answers, checksum, body)


def checksum_of(data: bytes) -> bytes:
    """The checksum that stands in a frame which `wrap` made."""
    return data[_FIELDS.size : HEADER_SIZE]


def _checksum(fields: bytes, body: bytes) -> bytes:
    digest = hashlib.sha256(fields)
    digest.update(body)
    return digest.digest()[:HALF_DIGEST]
