"""What one party keeps on its own side, from round to round."""

from collections.abc import Iterator
from contextlib import contextmanager

from secagg.scheme.ledger import Ledger


class Store:
    """What the party has entered and helped to open; this one is gone with the process, a `secagg.Journal` is not."""

    def __init__(self, ledger: Ledger | None = None) -> None:
        self._ledger = Ledger() if ledger is None else ledger

    @contextmanager
    def open_ledger(self) -> Iterator[Ledger]:
        """The one ledger of this party, for one question or one change; nobody else changes it meanwhile."""
        yield self._ledger

    def flush(self) -> None:
        """Make durable what has changed. Comes before every reply that leaves."""
