"""What of a client outlives a message, where its process may not."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeVar

import msgspec

from secagg.errors import StateError
from secagg.scheme import Store


class SavedRound(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client's part in a round, as of its last answer.

    Attributes:
        NAME: of the record.
        key: of the state, 32 bytes. It lies beside what it locks, so whoever reads a record reads its secrets.
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


R = TypeVar("R", SavedRound, SavedKeys)


class Memory(ABC):
    """Holds one record of each kind. What `store` has returned from is there before the reply leaves.

    Attributes:
        lasting: whether processes end between two messages, so that records are worth storing.
    """

    lasting = True

    def load(self, kind: type[R]) -> R | None:
        """The record, None where there is none. Raises StateError for one that is damaged."""
        try:
            found = self._read(kind.NAME)
            return None if found is None else msgspec.convert(found, type=kind)
        except msgspec.DecodeError as error:
            raise StateError(f"record {kind.NAME!r} is no memory of a round: {error}") from None

    def store(self, record: SavedRound | SavedKeys) -> None:
        """Make it the one of its kind."""
        self._write(record.NAME, msgspec.structs.asdict(record))

    @abstractmethod
    def forget(self, kind: type[SavedRound | SavedKeys]) -> None:
        """Remove it, secrets included."""

    @abstractmethod
    def own(self) -> Store:
        """What this client has entered and helped to open, which outlives rounds. Raises StateError."""

    @abstractmethod
    def _read(self, name: str) -> Any:
        """The record's fields, None where there is none. Raises msgspec's DecodeError."""

    @abstractmethod
    def _write(self, name: str, fields: dict[str, Any]) -> None: ...
