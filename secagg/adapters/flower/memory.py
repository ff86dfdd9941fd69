"""A client's memory: its node's own journal, or `Context.state`.

`Context.state` lives in the SuperNode, which drops what a ClientApp has put there where the SuperLink answers it by an
error. So a server that lies can put a client back to before its last answer, its ledger too; a journal on the node's
own disk it cannot. There a state's key lies in `Context.state` and what it locks on disk, so neither opens without the
other, and what a run leaves behind on disk is noise once the run is over.

Without a journal a state's key lies beside it. Whoever reads `Context.state` reads the round's secrets.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from flwr.app import ConfigRecord, Context
from flwr.supercore.task_identity import TaskIdentity

from secagg.adapters.flower.envelope import record_of
from secagg.adapters.flower.own import own
from secagg.api.journal import Journal
from secagg.api.shared import SharedJournal
from secagg.errors import SecaggError, StateError, WireError
from secagg.federation.memory import Memory, SavedKeys, SavedRound
from secagg.scheme import Ledger, Store

LEDGER = "secagg.ledger"
KEY = "key"


class ContextMemory(Memory, Store):
    """Records that are in `Context.state` before the mod returns its message, and this client's ledger there."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context

    def _read(self, name: str) -> Any:
        record = record_of(self._context.state, name, ConfigRecord)
        return None if record is None else dict(record)

    def _write(self, name: str, fields: dict[str, Any]) -> None:
        self._context.state[name] = ConfigRecord(fields)

    def forget(self, kind: type[SavedRound | SavedKeys]) -> None:
        """Remove it, secrets included."""
        if kind.NAME in self._context.state:
            del self._context.state[kind.NAME]

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


class NodeMemory(ContextMemory):
    """Records in the node's own journal, and their keys in `Context.state`; one ledger for all of the node's runs."""

    def __init__(self, context: Context, path: str) -> None:
        super().__init__(context)
        self._journal = NodeJournal(path)
        self._run = str(context.run_id)

    def _read(self, name: str) -> Any:
        """None where the key is gone, as it is after a restart of the SuperNode: nothing opens the rest."""
        kept, key = self._journal.read(self._run, name), super()._read(name)
        return None if kept is None or key is None else {**kept, **key}

    def _write(self, name: str, fields: dict[str, Any]) -> None:
        self._journal.write(self._run, name, {field: value for field, value in fields.items() if field != KEY})
        super()._write(name, {KEY: fields[KEY]})

    def forget(self, kind: type[SavedRound | SavedKeys]) -> None:
        """Remove it, secrets included."""
        super().forget(kind)
        self._journal.forget(self._run, kind.NAME)

    def own(self) -> Store:
        """What this node has entered and helped to open, in any run."""
        return self._journal


class NodeJournal(SharedJournal):
    """The operator's own file, whose name no server learns: what is wrong with it is an OwnError."""

    def __init__(self, path: str) -> None:
        with own((SecaggError, OSError)):
            super().__init__(path)

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        """As `SharedJournal.journal`."""
        with own((StateError, OSError)), super().journal() as journal:
            yield journal


def is_deployed(context: Context) -> bool:
    """Whether this process works for a SuperNode, which named its task by the node; a simulation's are of no node."""
    try:
        return TaskIdentity.node_id == context.node_id
    except RuntimeError:
        return False
