"""Saved state on disk: a kill at any moment leaves the newest whole state, and no older one is taken for it."""

import os
import struct
from pathlib import Path

from secagg.errors import OutOfRange, StateError

_MAGIC = b"SAGJ\x01"
_STEP = struct.Struct("<Q")
_HEADER = len(_MAGIC) + _STEP.size


class Journal:
    """The newest saved state of one end of a round, and a latch: a number in a file of its own that only grows.

    journal = Journal("round-7/clinic-3")
    client.answer(ask, update, store=lambda client: journal.save(client.save(key), client.step))
    # in the next process, after a crash
    client = Participant.restore(scheme, journal.load(), key, latch=journal.latch)

    A coordinator counts its own saves: `journal.save(server.save(key))`, after `close_phase` and before the next
    phase's asks leave.

    Each file is written beside its place, flushed, and renamed over it, and the folder is flushed: what `save` has
    returned from survives a power cut. The state goes first and the latch second, so between the two there is a
    state one step ahead of its latch, whose reply has not left. State from before the latch (a restored backup, a
    copied virtual machine) is refused, since answering from it could send a second, different reply. Whoever can
    turn back both files defeats that: put the latch where backups do not reach. One process at a time may use a
    journal. It writes what it is given: `save` of `Participant` and `Coordinator` has encrypted it.

    Args:
        path: of the state; its folder must exist. Files are made readable by their owner alone.
        latch: of the latch; None for `path` with ".latch" added.

    Raises:
        StateError: there is a state and no latch, or a latch that this class did not write.
        OSError: the disk refuses.
    """

    def __init__(self, path: str | os.PathLike[str], latch: str | os.PathLike[str] | None = None) -> None:
        self._path = Path(path)
        self._latch_path = self._path.with_name(self._path.name + ".latch") if latch is None else Path(latch)
        if not self._latch_path.exists():
            if self._path.exists():
                raise StateError(f"journal {self._path}: its latch {self._latch_path} is missing")
            self._raise_latch(0)
        self._latch = self._read_latch()

    def __repr__(self) -> str:
        return f"Journal({str(self._path)!r}, latch={self._latch})"

    @property
    def latch(self) -> int:
        """The largest step that was ever saved, 0 before the first."""
        return self._latch

    def save(self, state: bytes, step: int | None = None) -> None:
        """Make `state` the newest; on return it is on the disk.

        Args:
            state: what `Participant.save` or `Coordinator.save` returned.
            step: `Participant.step`, 0..2**64 - 1; may stay or grow. None: one more than the latch.

        Raises:
            StateError: `step` is below the latch.
            OutOfRange: `step` is no 64-bit number.
            OSError: the disk refuses. The reply must not leave then; the same call may be tried again.
        """
        step = self._latch + 1 if step is None else step
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < 2**64:
            raise OutOfRange(f"journal {self._path}: step is {step!r}, expected an integer in 0..2**64 - 1")
        if step < self._latch:
            raise StateError(f"journal {self._path}: a state at step {step} after one at step {self._latch}")
        _replace(self._path, _MAGIC + _STEP.pack(step) + state)
        if step > self._latch:
            self._raise_latch(step)

    def load(self) -> bytes | None:
        """The newest state, or None where none was ever saved.

        Raises:
            StateError: it is older than the latch, gone, or not from a journal.
            OSError: the disk refuses.
        """
        if not self._path.exists():
            if self._latch:
                raise StateError(f"journal {self._path}: the state is gone, it is known to have reached {self._latch}")
            return None
        record = self._path.read_bytes()
        if len(record) < _HEADER or not record.startswith(_MAGIC):
            raise StateError(f"journal {self._path}: not a state that a journal wrote")
        (step,) = _STEP.unpack_from(record, len(_MAGIC))
        if step < self._latch:
            raise StateError(
                f"journal {self._path}: a state at step {step}, but it is known to have reached step {self._latch}"
            )
        return record[_HEADER:]

    def _raise_latch(self, step: int) -> None:
        _replace(self._latch_path, b"%d\n" % step)
        self._latch = step

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
