"""The frame around each message: whose session, which phase, which way.

offset  size  field
0       4     magic "SAGG"
4       1     version, 1
5       1     direction: 0 ask (server to party), 1 reply (party to server)
6       1     phase: index in the scheme's table
7       1     zero
8       16    tag: first half of the SHA-256 digest of the session
24      ...   the message, as `codec.encode` wrote it
"""

import struct
from dataclasses import dataclass
from typing import Literal

from secagg.errors import WireError

ASK: Literal[0] = 0
REPLY: Literal[1] = 1
HEADER_SIZE = 24
TAG_SIZE = 16
VERSION = 1
_HEADER = struct.Struct("<4sBBBB16s")
_MAGIC = b"SAGG"


@dataclass(frozen=True)
class Frame:
    """A decoded header and the message's bytes, which are not decoded yet."""

    direction: int
    phase: int
    tag: bytes
    body: bytes

    def __repr__(self) -> str:
        return f"Frame(direction={self.direction}, phase={self.phase}, body=<{len(self.body)} bytes>)"


def wrap(direction: int, phase: int, tag: bytes, body: bytes) -> bytes:
    """Header and message as one byte string. `phase` is 0..255, `tag` 16 bytes."""
    return _HEADER.pack(_MAGIC, VERSION, direction, phase, 0, tag) + body


def unwrap(data: bytes) -> Frame:
    """The frame in `data`; raises WireError for anything else."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise WireError(f"a {type(data).__name__}, expected bytes")
    data = bytes(data)
    if len(data) < HEADER_SIZE:
        raise WireError(f"frame of {len(data)} bytes: shorter than its header of {HEADER_SIZE}")
    magic, version, direction, phase, zero, tag = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise WireError("no secagg frame: wrong magic")
    if version != VERSION:
        raise WireError(f"frame of version {version}, expected {VERSION}")
    if direction not in (ASK, REPLY) or zero != 0:
        raise WireError("frame header with an unknown direction or a set reserved byte")
    return Frame(direction, phase, tag, data[HEADER_SIZE:])
