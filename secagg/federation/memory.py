"""What of a client outlives a message, where its process may not."""

from abc import ABC, abstractmethod
from typing import ClassVar, Self, TypeVar

import msgspec

from secagg.errors import StateError
from secagg.scheme import Store


class SavedRound(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client's part in a round, as of its last answer.

    Attributes:
        NAME: of the record.
        key: of the state, 32 bytes; b"" where it lies elsewhere. Who reads it beside the state reads its secrets.
        terms: bytes of the `Invitation` by which it entered.
        parties: of its session.
        state: what `Participant.save` returned under `key`.
    """

    NAME: ClassVar = "secagg"

    key: bytes
    terms: bytes
    parties: int
    state: bytes

    def __repr__(self) -> str:
        return "SavedRound()"

    def under(self, key: bytes) -> Self:
        """The same with another key, or b"" for none."""
        return msgspec.structs.replace(self, key=key)


class SavedKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client prepared for the next round.

    Attributes:
        NAME, key: as above.
        state: what `Prepared.save` returned under `key`.
    """

    NAME: ClassVar = "secagg.prepared"

    key: bytes
    state: bytes

    def __repr__(self) -> str:
        return "SavedKeys()"

    def under(self, key: bytes) -> Self:
        """As above."""
        return msgspec.structs.replace(self, key=key)


Saved = SavedRound | SavedKeys
R = TypeVar("R", SavedRound, SavedKeys)


class Memory(ABC):
    """Holds one record of each kind. What `store` has returned from is there before the reply leaves.

    Attributes:
        lasting: whether processes end between two messages, so that records are worth storing.
    """

    lasting = True

    def load(self, kind: type[R]) -> R | None:
        """The record, None where there is none. Raises StateError for one that is damaged."""
        found = self._read(kind.NAME)
        if found is None:
            return None
        key, record = found
        try:
            return msgspec.msgpack.decode(record, type=kind).under(key)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise StateError(f"record {kind.NAME!r} is no memory of a round: {error}") from None

    def store(self, record: Saved) -> None:
        """Make it the one of its kind."""
        self._write(record.NAME, record.key, msgspec.msgpack.encode(record.under(b"")))

    @abstractmethod
    def forget(self, kind: type[Saved]) -> None:
        """Remove it, secrets included."""

    @abstractmethod
    def party_store(self) -> Store:
        """What this client has entered and helped to open, which outlives rounds. Raises StateError."""

    @abstractmethod
    def _read(self, name: str) -> tuple[bytes, bytes] | None:
        """(key, record without it), None where there is none. Raises StateError."""

    @abstractmethod
    def _write(self, name: str, key: bytes, record: bytes) -> None:
        """The two may lie in different places."""
