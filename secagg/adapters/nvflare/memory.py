"""A site's memory. The ledger lies where the site's own file says, for all its jobs. Between two processes of the
simulator, which has fewer threads than sites, state and keys lie in the run folder, each key beside what it locks; only
the simulator, which holds all sites' data, ever has them so."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from secagg.api.shared import SharedJournal
from secagg.errors import StateError
from secagg.federation.memory import Memory, Saved, SavedKeys, SavedRound

FILES = {SavedRound.NAME: "secagg.swapped", SavedKeys.NAME: "secagg.prepared"}
LEDGER = "secagg.ledger"


class RunFolder(Memory):
    """Files that their owner alone may read; `lasting` in the simulator alone.

    Args:
        folder: of the job's run.
        ledger: where the ledger is; asked in active mode alone.
    """

    def __init__(self, folder: Path, ledger: Callable[[], Path]) -> None:
        self._folder = folder
        self._ledger = ledger
        self.lasting = False

    def _read(self, name: str) -> tuple[bytes, bytes] | None:
        path = self._folder / FILES[name]
        try:
            return msgspec.msgpack.decode(path.read_bytes(), type=tuple[bytes, bytes]) if path.exists() else None
        except msgspec.DecodeError as error:
            raise StateError(f"{path.name} is no memory of a round: {error}") from None

    def _write(self, name: str, key: bytes, record: bytes) -> None:
        """All of it or nothing."""
        part = self._folder / f"{FILES[name]}.part"
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.msgpack.encode((key, record)))
        part.replace(self._folder / FILES[name])

    def forget(self, kind: type[Saved]) -> None:
        """Remove it, secrets included."""
        (self._folder / FILES[kind.NAME]).unlink(missing_ok=True)

    def party_store(self) -> SharedJournal:
        """What this site has entered and helped to open, in any job, on disk before a share leaves."""
        return SharedJournal(self._ledger())
