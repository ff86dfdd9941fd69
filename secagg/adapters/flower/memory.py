"""A client's memory: ConfigRecords in `Context.state`, all that outlives a message in Flower.

A state's key lies beside it, for `Context.state` is the only place there is. So the encryption detects damage and binds
a state to its purpose; whoever reads `Context.state` reads the round's secrets. Forgetting removes both together.
"""

import msgspec
from flwr.app import ConfigRecord, Context

from secagg.adapters.flower.envelope import record_of
from secagg.errors import StateError, WireError
from secagg.federation.memory import R, SavedKeys, SavedRound
from secagg.scheme import Ledger, Store

LEDGER = "secagg.ledger"


class ContextMemory(Store):
    """A `Memory` whose records are in `Context.state` before the mod returns its message, and a client's own store."""

    lasting = True

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._state = context.state

    def load(self, kind: type[R]) -> R | None:
        """The record, None where there is none. Raises StateError for one that is damaged."""
        record = record_of(self._state, kind.NAME, ConfigRecord)
        if record is None:
            return None
        try:
            return msgspec.convert(dict(record), type=kind)
        except msgspec.ValidationError as error:
            raise StateError(f"record {kind.NAME!r} in Context.state is damaged: {error}") from None

    def store(self, record: SavedRound | SavedKeys) -> None:
        """Make it the one of its kind."""
        self._state[record.NAME] = ConfigRecord(msgspec.structs.asdict(record))

    def forget(self, kind: type[SavedRound | SavedKeys]) -> None:
        """Remove it, secrets included."""
        if kind.NAME in self._state:
            del self._state[kind.NAME]

    def own(self) -> Store:
        """What this client has entered and helped to open in this run. Raises StateError."""
        record = record_of(self._state, LEDGER, ConfigRecord)
        try:
            self._ledger = Ledger() if record is None else Ledger.from_bytes(msgspec.convert(record["opened"], bytes))
        except (KeyError, msgspec.ValidationError, WireError) as error:
            raise StateError(f"record {LEDGER!r} in Context.state is no ledger: {error}") from None
        return self

    def flush(self) -> None:
        """Before every reply that leaves."""
        self._state[LEDGER] = ConfigRecord({"opened": self.ledger.to_bytes()})
