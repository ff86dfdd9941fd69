"""Who may call an object that is one party's word: one caller at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

from secagg.errors import LocalMisuse


class Turn:
    """Lets one call in and raises LocalMisuse for a second one, rather than let it wait: it would find another round
    than it was made for.

    Args:
        whose: what it guards, for the error's text.
    """

    def __init__(self, whose: str) -> None:
        self._whose = whose
        self._thread = RLock()
        self._taken = False

    @contextmanager
    def change(self) -> Iterator[None]:
        """A call that changes the object: refused while another runs, in any thread, also in a callback of that one."""
        with self.look():
            if self._taken:
                raise LocalMisuse(f"{self._whose}: called again by a function that it called itself")
            self._taken = True
            try:
                yield
            finally:
                self._taken = False

    @contextmanager
    def look(self) -> Iterator[None]:
        """A call that reads the object: refused while one runs in another thread; a callback may look."""
        if not self._thread.acquire(blocking=False):
            raise LocalMisuse(f"{self._whose}: called while a call in another thread is not over")
        try:
            yield
        finally:
            self._thread.release()
