"""A site's memory: its run folder. Between two processes of the simulator, which has fewer threads than sites, state
and keys lie in it, each key beside what it locks; only the simulator, which holds all sites' data, ever has them so."""

import os
from pathlib import Path

import msgspec

from secagg.api import Journal
from secagg.errors import StateError
from secagg.federation.memory import R, SavedKeys, SavedRound

FILES = {SavedRound: "secagg.swapped", SavedKeys: "secagg.prepared"}
LEDGER = "secagg.ledger"


class RunFolder:
    """A `Memory` of files that their owner alone may read; `lasting` in the simulator alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lasting = False

    def load(self, kind: type[R]) -> R | None:
        """The record, None where there is none. Raises StateError for one that is damaged."""
        path = self._folder / FILES[kind]
        if not path.exists():
            return None
        try:
            return msgspec.msgpack.decode(path.read_bytes(), type=kind)
        except msgspec.DecodeError as error:
            raise StateError(f"{path.name} is no memory of a round: {error}") from None

    def store(self, record: SavedRound | SavedKeys) -> None:
        """Write it down; all of it or nothing."""
        path = self._folder / FILES[type(record)]
        part = path.with_name(f"{path.name}.part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.msgpack.encode(record))
        part.replace(path)

    def forget(self, kind: type[SavedRound | SavedKeys]) -> None:
        """Remove it, secrets included."""
        (self._folder / FILES[kind]).unlink(missing_ok=True)

    def own(self) -> Journal:
        """What this site has entered and helped to open in this job, on disk before a share leaves."""
        return Journal(self._folder / LEDGER)
