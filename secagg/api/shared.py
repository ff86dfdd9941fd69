"""A journal that all processes of a party share: what its framework keeps for it, a server may have put back."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secagg.api.journal import Journal
from secagg.arguments import check_kind
from secagg.errors import ConfigError
from secagg.scheme import Ledger, Store

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class SharedJournal(Store):
    """A `Journal` that all runs (or jobs) of a party share, and so one ledger.

    Several processes may use one file at once, each through an object of its own. Every look at it and every change is
    a transaction under a lock of the file, so that of two that help to open sums of one model at the same time one is
    refused.

    Args:
        path: of the journal, in a folder that exists. The party's operator names it, no server.

    Raises:
        ConfigError: that is no path, or there is no such folder.
        StateError, OSError: what `Journal` raises; also every method.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        check_kind("path", path, str | os.PathLike, "a path")
        self._path = Path(path)
        if not self._path.parent.is_dir():
            raise ConfigError(f"journal {self._path}: there is no folder {self._path.parent}, expected one that lasts")
        with self.journal() as journal:
            journal.load()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._path)!r})"

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        """The journal, while no other object looks at it or changes it."""
        with _locked(self._path.with_name(f"{self._path.name}.lock")):
            yield Journal(self._path)

    @contextmanager
    def open_ledger(self) -> Iterator[Ledger]:
        """The ledger as it stands there now. What is changed is on disk afterwards, so nothing is left to flush."""
        with self.journal() as journal:
            yield journal.ledger
            journal.flush()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file's lock, which the system drops when a process dies; whoever else wants it waits."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform == "win32":
            while not _taken(descriptor):
                pass
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":

    def _taken(descriptor: int) -> bool:
        """Whether the lock was had within ten seconds: the system's own wait is that long."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
        except OSError as error:
            if error.errno != errno.EDEADLOCK:
                raise
            return False
        return True
