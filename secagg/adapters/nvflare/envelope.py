"""What travels inside a task and its result: one entry of the Shareable, bytes. All other entries are the user's."""

from typing import TypeVar

import msgspec
from nvflare.apis.shareable import Shareable, make_copy

from secagg.adapters.run import Ahead
from secagg.errors import ConfigError, WireError

KEY = "secagg"
"""Of the entry."""
TASK = "secagg"
"""Name of the tasks that carry the phases without training."""
VERSION = 2
"""Of this envelope; both ends must have the same."""


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One ask.

    Attributes:
        version: of the envelope.
        phase: its name, as the server says; the frame's own bytes decide. `PREPARE` is no phase, and has no frame.
        frame: bytes for `Participant.answer`.
        terms, session: how to enter the round; only in a site's first ask of it. A request to prepare has terms alone.
        ahead: the round to prepare for, if any.
    """

    version: int
    phase: str
    frame: bytes
    terms: bytes | None = None
    session: bytes | None = None
    ahead: Ahead | None = None


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One reply.

    Attributes:
        version, phase: of the ask.
        frame: bytes for `Coordinator.receive`, None to an announcement or a request to prepare.
        prepared: bytes for the next round's `Coordinator`.
    """

    version: int
    phase: str
    frame: bytes | None = None
    prepared: bytes | None = None


T = TypeVar("T", Ask, Reply)


def put(shareable: Shareable, message: Ask | Reply) -> Shareable:
    """The same Shareable, with the entry."""
    shareable[KEY] = msgspec.msgpack.encode(message)
    return shareable


def read(shareable: Shareable, kind: type[T]) -> T:
    """The entry. Raises WireError where there is none or it is damaged, ConfigError for another version."""
    data = shareable.get(KEY)
    if not isinstance(data, bytes):
        raise WireError(f"a message without the entry {KEY!r}: the other end runs without secure aggregation")
    try:
        version = msgspec.msgpack.decode(data, type=_Version).version
        if version != VERSION:
            raise ConfigError(
                f"the other end speaks version {version!r} of this adapter, expected {VERSION}: "
                "install the same version of secagg at the server and at every site"
            )
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"entry {KEY!r}: {error}") from None


def users_part(shareable: Shareable) -> Shareable:
    """A copy without the entry: its headers are its own, its parameters are not."""
    content = make_copy(shareable)
    content.pop(KEY, None)
    return content


class _Version(msgspec.Struct):
    version: int
