"""A client's memory: ConfigRecords in `Context.state`, all that outlives a message in Flower.

A state's key lies beside it, for `Context.state` is the only place there is. So the encryption detects damage and binds
a state to its purpose; whoever reads `Context.state` reads the round's secrets. Forgetting removes both together.
"""

from typing import Any

import msgspec
from flwr.app import ConfigRecord, Context

from secagg.adapters.flower.envelope import record_of
from secagg.errors import StateError, WireError
from secagg.federation.memory import Memory, SavedKeys, SavedRound
from secagg.scheme import Ledger, Store

LEDGER = "secagg.ledger"


class ContextMemory(Memory, Store):
    """Records that are in `Context.state` before the mod returns its message, and this client's own store there."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._state = context.state

    def _read(self, name: str) -> Any:
        record = record_of(self._state, name, ConfigRecord)
        return None if record is None else dict(record)

    def _write(self, name: str, fields: dict[str, Any]) -> None:
        self._state[name] = ConfigRecord(fields)

    def forget(self, kind: type[SavedRound | SavedKeys]) -> None:
        """Remove it, secrets included."""
        if kind.NAME in self._state:
            del self._state[kind.NAME]

    def own(self) -> Store:
        """What this client has entered and helped to open in this run. Raises StateError."""
        found = self._read(LEDGER)
        try:
            self._ledger = Ledger() if found is None else Ledger.from_bytes(msgspec.convert(found["opened"], bytes))
        except (KeyError, msgspec.ValidationError, WireError) as error:
            raise StateError(f"record {LEDGER!r} in Context.state is no ledger: {error}") from None
        return self

    def flush(self) -> None:
        """The ledger, there before a reply leaves."""
        self._write(LEDGER, {"opened": self.ledger.to_bytes()})
