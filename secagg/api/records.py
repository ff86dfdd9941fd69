"""What a party keeps of each of its runs, where several of them share one journal."""

import time
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Annotated

from msgspec import Meta

from secagg.api.journal import Journal
from secagg.api.shared import SharedJournal
from secagg.errors import StateError, WireError
from secagg.wire import codec

KEPT_SECONDS = 7 * 24 * 3600
"""After so long without a message what is left of a round is dropped: its run has ended without it."""
MAX_ROWS, MAX_BYTES = 4096, 2**26
"""Of which more are not kept: the oldest go, and what is being written stays. A server can open any number of runs."""
MAX_NAME, MAX_RECORD = 64, 2**32 - 1
"""Characters of a run's name or a record's; bytes of a record, MessagePack's own bound."""

_Name = Annotated[str, Meta(max_length=MAX_NAME)]


class _Row(codec.Message, frozen=True):
    """One record, and when it was written, in Unix seconds."""

    run: _Name
    name: _Name
    at: int
    record: Annotated[bytes, Meta(max_length=MAX_RECORD)]


class _Saved(codec.Message, frozen=True):
    """All of them, by run and name."""

    rows: Annotated[tuple[_Row, ...], Meta(max_length=MAX_ROWS)]


class RunRecords:
    """The records of one run, by name, in a journal that other runs and processes use too.

    Every look and every change is a transaction of the journal, so of two that answer in one run at the same time one
    is refused. Records are written as they are given: whoever gives secrets encrypts them.

    Args:
        journal: whose state is the records of all its runs, and nothing else.
        run: its name, at most 64 characters, as a record's is.
        clock: the time in Unix seconds.

    Raises:
        StateError, OSError: what `SharedJournal` raises, and for a journal of something else; also every method.
    """

    def __init__(self, journal: SharedJournal, run: str, clock: Callable[[], float] = time.time) -> None:
        self._journal = journal
        self._run = run
        self._clock = clock
        self._seen: dict[str, _Row | None] = {}
        with journal.journal() as found:
            _rows(found)

    def read(self, name: str) -> bytes | None:
        """The run's record of that name, None where there is none."""
        with self._journal.journal() as journal:
            row = self._seen[name] = _rows(journal).get((self._run, name))
        return None if row is None else row.record

    def write(self, name: str, record: bytes) -> None:
        """Make it the run's record of that name; on return it is on disk.

        Raises StateError where another object has changed it since this one read it, and then leaves it.
        """
        with self._journal.journal() as journal:
            rows = _rows(journal)
            self._check_alone(name, rows)
            row = rows[self._run, name] = _Row(self._run, name, int(self._clock()), record)
            self._save(journal, rows, row)
        self._seen[name] = row

    def forget(self, name: str) -> None:
        """Remove a record. Raises StateError as `write` does, but the record is gone: it must not serve twice."""
        with self._journal.journal() as journal:
            rows = _rows(journal)
            found = dict(rows)
            if rows.pop((self._run, name), None) is not None:
                self._save(journal, rows)
            self._check_alone(name, found)
        self._seen[name] = None

    def _check_alone(self, name: str, rows: Mapping[tuple[str, str], _Row]) -> None:
        if name in self._seen and rows.get((self._run, name)) != self._seen[name]:
            raise StateError(f"{self._journal}: another process has answered in the same run at the same time")

    def _save(self, journal: Journal, rows: Mapping[tuple[str, str], _Row], written: _Row | None = None) -> None:
        """`written` first, then the newest, as many as there is room for."""
        oldest = self._clock() - KEPT_SECONDS
        known = (row for row in rows.values() if row is written or row.at >= oldest)
        newest = sorted(known, key=lambda row: (row is not written, -row.at))[:MAX_ROWS]
        sizes = accumulate(len(row.record) for row in newest)
        kept = [row for row, size in zip(newest, sizes, strict=True) if row is written or size <= MAX_BYTES]
        journal.save(codec.encode(_Saved(tuple(sorted(kept, key=_place)))))


def _place(row: _Row) -> tuple[str, str]:
    return row.run, row.name


def _rows(journal: Journal) -> dict[tuple[str, str], _Row]:
    """{(run, name): row}. Raises StateError."""
    state = journal.load()
    try:
        rows = () if state is None else codec.decode(state, _Saved).rows
    except WireError as error:
        raise StateError(f"{journal!r} is not shared by runs: {error}") from None
    places = [_place(row) for row in rows]
    if places != sorted(set(places)):
        raise StateError(f"{journal!r} is not shared by runs: a record twice, or out of order")
    return dict(zip(places, rows, strict=True))
