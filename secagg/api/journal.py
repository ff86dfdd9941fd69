"""A party's store on disk: a kill at any moment leaves the newest whole record, and no older one is taken for it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secagg.arguments import check_kind
from secagg.errors import StateError, WireError
from secagg.scheme import Ledger, Store
from secagg.wire import codec

_MAGIC = b"SAGJ\x02"


class _Record(codec.Message, frozen=True):
    """All that one write makes durable together; another kind of record is another field.

    Attributes:
        step: of this write.
        state: the newest saved state, None where none was saved.
        ledger: `Ledger.to_bytes`.
    """

    step: int
    state: bytes | None
    ledger: bytes


class Journal(Store):
    """What one end keeps from round to round, in one file: the newest saved state and, of a party, its ledger; and a
    latch beside it, a number in a file of its own that only grows.

    journal = Journal("clinic-3")
    client = Participant(scheme, session, Seat("clinic-3", context=mine, store=journal))
    client.answer(ask, update, store=lambda client: journal.save(client.save(key)))
    # in the next process, after a crash
    journal = Journal("clinic-3")
    client = Participant.restore(scheme, journal.load(), key, Seat("clinic-3", store=journal))

    A coordinator saves after `close_phase` and before the next phase's asks leave: `journal.save(server.save(key))`.

    Each file is written beside its place, flushed, and renamed over it, and the folder is flushed: what `save` has
    returned from survives a power cut. The record goes first and the latch second, so between the two there is a
    record one step ahead of its latch, whose reply has not left. A record from before the latch (a restored backup, a
    copied virtual machine) is refused, since answering from it could send a second, different reply, or help to open a
    second set. Whoever can turn back both files defeats that: put the latch where backups do not reach. One object at a
    time may use a file: what another has written since is refused, not overwritten. State is written as it is given:
    `save` of `Participant` and `Coordinator` has encrypted it. The ledger is not secret, but says who trained with
    whom.

    Args:
        path: of the record; its folder must exist. Files are made readable by their owner alone.
        latch: of the latch; None for `path` with ".latch" added.

    Raises:
        StateError: there is a record and no latch, or a latch that this class did not write.
        OSError: the disk refuses.
    """

    def __init__(self, path: str | os.PathLike[str], latch: str | os.PathLike[str] | None = None) -> None:
        for name, given in (("path", path), ("latch", "" if latch is None else latch)):
            check_kind(name, given, str | os.PathLike, "a path")
        self._path = Path(path)
        self._latch_path = self._path.with_name(self._path.name + ".latch") if latch is None else Path(latch)
        if not self._latch_path.exists():
            if self._path.exists():
                raise StateError(f"journal {self._path}: its latch {self._latch_path} is missing")
            _replace(self._latch_path, b"0\n")
        self._latch = self._read_latch()
        self._record: _Record | None = None
        self._kept: Ledger | None = None

    def __repr__(self) -> str:
        return f"Journal({str(self._path)!r}, latch={self._latch})"

    @property
    def latch(self) -> int:
        """How many writes the record is known to have had, 0 before the first."""
        return self._latch

    @property
    def ledger(self) -> Ledger:
        """What this party has entered and helped to open. Raises what `load` does."""
        if self._kept is None:
            self._kept = Ledger.from_bytes(self._read().ledger)
        return self._kept

    @contextmanager
    def open_ledger(self) -> Iterator[Ledger]:
        """As `Store` has it; `save` and `flush` make durable what was changed. Raises what `load` does."""
        yield self.ledger

    def save(self, state: bytes | None) -> None:
        """Make `state` the newest (None once a round is over), and the ledger as it is now; on return both are on disk.

        Raises:
            StateError: what stands there cannot be gone on from, see `load`; or another journal has written it since.
            OSError: the disk refuses. The reply must not leave then; the same call may be tried again.
        """
        self._write(state)

    def flush(self) -> None:
        """Make the ledger durable, if it says something new. Raises what `save` does."""
        if self._kept is not None and self._kept.to_bytes() != self._read().ledger:
            self._write(self._read().state)

    def load(self) -> bytes | None:
        """The newest state, or None where none was ever saved.

        Raises:
            StateError: it is older than the latch, gone, or not from a journal.
            OSError: the disk refuses.
        """
        if self._record is not None:
            self._check_alone(self._record)
        self._record = None
        return self._read().state

    def _read(self) -> _Record:
        if self._record is None:
            self._record = self._checked(self._path.read_bytes()) if self._path.exists() else self._blank()
        return self._record

    def _blank(self) -> _Record:
        if self._latch:
            raise StateError(f"journal {self._path}: the record is gone, it is known to have reached {self._latch}")
        return _Record(0, None, Ledger().to_bytes())

    def _checked(self, data: bytes) -> _Record:
        try:
            record = codec.decode(data.removeprefix(_MAGIC), _Record)
            Ledger.from_bytes(record.ledger)
        except WireError as error:
            raise StateError(f"journal {self._path}: not a record that a journal wrote: {error}") from None
        if not data.startswith(_MAGIC):
            raise StateError(f"journal {self._path}: not a record that a journal wrote, or of another version")
        if record.step < self._latch:
            raise StateError(
                f"journal {self._path}: a record at step {record.step}, but it is known to have reached step "
                f"{self._latch}"
            )
        return record

    def _write(self, state: bytes | None) -> None:
        before = self._read()
        self._check_alone(before)
        ledger = before.ledger if self._kept is None else self._kept.to_bytes()
        # One step above what stands there: a write whose latch was lost to a crash is not followed by its equal.
        record = _Record(before.step + 1, state, ledger)
        _replace(self._path, _MAGIC + codec.encode(record))
        self._record = record
        _replace(self._latch_path, b"%d\n" % record.step)
        self._latch = record.step

    def _check_alone(self, known: _Record) -> None:
        """Raise StateError where another journal has written: its state or its ledger would be turned back."""
        latch = self._read_latch()
        if latch > known.step:
            raise StateError(
                f"journal {self._path}: at step {latch}, and this object knows step {known.step}: another one has "
                "written it, and one at a time may"
            )

    def _read_latch(self) -> int:
        text = self._latch_path.read_bytes()
        digits = text[:-1]
        if not digits.isdigit() or text != b"%d\n" % int(digits[:20]):
            raise StateError(f"journal {self._path}: {self._latch_path} is not a latch, a number and a line's end")
        return int(digits)


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one."""
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there, and NTFS journals renames itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
