"""What travels inside a task and its result: one entry of the Shareable, bytes. All other entries are the user's."""

from typing import TypeVar

import msgspec
from nvflare.apis.shareable import Shareable

from secagg.errors import ConfigError, WireError
from secagg.federation import messages

KEY = "secagg"
"""Of the entry."""
TASK = "secagg"
"""Name of the tasks that carry the phases without training."""
VERSION = 3
"""Of this envelope; both ends must have the same."""


class Ask(messages.Ask, frozen=True, kw_only=True):
    """One ask, and the version of the envelope."""

    version: int


class Reply(messages.Reply, frozen=True, kw_only=True):
    """One reply, likewise."""

    version: int


class _Version(msgspec.Struct):
    version: int


T = TypeVar("T", Ask, Reply)


def put(shareable: Shareable, message: messages.Ask | messages.Reply) -> Shareable:
    """The same Shareable, with the entry."""
    kind = Ask if isinstance(message, messages.Ask) else Reply
    sent = kind(**{"version": VERSION, **msgspec.structs.asdict(message)})
    shareable[KEY] = msgspec.msgpack.encode(sent)
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
