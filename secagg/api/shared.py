"""A journal that all processes of a party share: what its framework keeps for it, a server may have put back."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from secagg.api.journal import Journal
from secagg.errors import ConfigError, PartyId, StateError
from secagg.scheme import Ledger, Store

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

KEPT_SECONDS = 7 * 24 * 3600.0
"""After so long without a message what is left of a round is dropped: its run has ended without it."""


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One record, and when it was written, in Unix seconds."""

    at: float
    fields: dict[str, Any]

    def __repr__(self) -> str:
        return f"_Row({self.at})"


class SharedJournal(Store):
    """A `Journal` that all runs (or jobs) of a client share: one ledger, and for each run the records of its round.

    Several processes may use one file at once, each through an object of its own. Every look at it and every change is
    a transaction under a lock of the file, so that of two that answer in one run at the same time one is refused, and
    of two that help to open sums of one model too.

    Args:
        path: of the journal, in a folder that exists. The client's operator names it, no server.
        clock: the time in Unix seconds.

    Raises:
        ConfigError: there is no such folder.
        StateError, OSError: what `Journal` raises; also every method.
    """

    def __init__(self, path: str | os.PathLike[str], clock: Callable[[], float] = time.time) -> None:
        self._path = Path(path)
        self._clock = clock
        self._seen: dict[str, _Row | None] = {}
        if not self._path.parent.is_dir():
            raise ConfigError(f"journal {self._path}: there is no folder {self._path.parent}, expected one that lasts")
        super().__init__(_SharedLedger(self.journal))
        with self.journal() as journal:
            _rows(journal)

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        """The journal, while no other object looks at it or changes it."""
        with _locked(self._path.with_name(f"{self._path.name}.lock")):
            yield Journal(self._path)

    def read(self, run: str, name: str) -> dict[str, Any] | None:
        """The fields of a run's record, None where there is none."""
        place = _place(run, name)
        with self.journal() as journal:
            row = self._seen[place] = _rows(journal).get(place)
        return None if row is None else row.fields

    def write(self, run: str, name: str, fields: dict[str, Any]) -> None:
        """Make it the run's record of that name; on return it is on disk.

        Raises StateError where another object has changed it since this one read it, and then leaves it.
        """
        place = _place(run, name)
        with self.journal() as journal:
            rows = _rows(journal)
            self._check_alone(place, rows)
            row = rows[place] = _Row(self._clock(), fields)
            self._save(journal, rows)
        self._seen[place] = row

    def forget(self, run: str, name: str) -> None:
        """Remove a record. Raises StateError as `write` does, but the record is gone: it must not serve twice."""
        place = _place(run, name)
        with self.journal() as journal:
            rows = _rows(journal)
            found = dict(rows)
            if rows.pop(place, None) is not None:
                self._save(journal, rows)
        self._check_alone(place, found)
        self._seen[place] = None

    def _check_alone(self, place: str, rows: dict[str, _Row]) -> None:
        if place in self._seen and rows.get(place) != self._seen[place]:
            raise StateError(f"journal {self._path}: another process has answered in the same run at the same time")

    def _save(self, journal: Journal, rows: dict[str, _Row]) -> None:
        oldest = self._clock() - KEPT_SECONDS
        journal.save(msgspec.msgpack.encode({place: row for place, row in rows.items() if row.at >= oldest}))


class _SharedLedger(Ledger):
    """The ledger in a journal that others write too: each question is put to what stands there now.

    An answer that changes it is on disk when it returns, so there is nothing left to flush.
    """

    def __init__(self, journal: Callable[[], Any]) -> None:
        super().__init__()
        self._journal = journal

    @contextmanager
    def _now(self) -> Iterator[Ledger]:
        with self._journal() as journal:
            yield journal.ledger
            journal.flush()

    def check(self, context: bytes, encoding: bytes, contributors: Set[PartyId]) -> None:
        """As `Ledger.check`."""
        with self._now() as ledger:
            ledger.check(context, encoding, contributors)

    def add(self, context: bytes, encoding: bytes, contributors: Set[PartyId]) -> None:
        """As `Ledger.add`."""
        with self._now() as ledger:
            ledger.add(context, encoding, contributors)

    def forget(self, context: bytes) -> None:
        """As `Ledger.forget`."""
        with self._now() as ledger:
            ledger.forget(context)

    def check_round(self, run: bytes, round: int) -> None:
        """As `Ledger.check_round`."""
        with self._now() as ledger:
            ledger.check_round(run, round)

    def enter(self, run: bytes, round: int) -> None:
        """As `Ledger.enter`."""
        with self._now() as ledger:
            ledger.enter(run, round)

    def forget_run(self, run: bytes) -> None:
        """As `Ledger.forget_run`."""
        with self._now() as ledger:
            ledger.forget_run(run)

    def to_bytes(self) -> bytes:
        """As `Ledger.to_bytes`."""
        with self._now() as ledger:
            return ledger.to_bytes()


def _place(run: str, name: str) -> str:
    return f"{name}/{run}"


def _rows(journal: Journal) -> dict[str, _Row]:
    """{place: row}. Raises StateError."""
    state = journal.load()
    try:
        return {} if state is None else msgspec.msgpack.decode(state, type=dict[str, _Row])
    except msgspec.DecodeError as error:
        raise StateError(f"{journal!r} is not shared by runs: {error}") from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file's lock, which the system drops when a process dies; whoever else wants it waits."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
