"""What one party keeps on its own side, from round to round."""

from secagg.scheme.ledger import Ledger


class Store:
    """A party's records, by kind; this one is gone with the process, a `secagg.Journal` is not.

    Attributes:
        ledger: what the party has entered and helped to open.
    """

    def __init__(self, ledger: Ledger | None = None) -> None:
        self._ledger = Ledger() if ledger is None else ledger

    @property
    def ledger(self) -> Ledger:
        """The one ledger of this party."""
        return self._ledger

    def flush(self) -> None:
        """Make durable what has changed. Comes before every reply that leaves."""
