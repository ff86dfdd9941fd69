"""A client's memory: its node's own journal, or `Context.state`.

`Context.state` lives in the SuperNode, which drops what a ClientApp has put there where the SuperLink answers it by an
error. So a server that lies can put a client back to before its last answer, its ledger too; a journal on the node's
own disk it cannot. There a state's key lies in `Context.state` and what it locks on disk, so neither opens without the
other, and what a run leaves behind on disk is noise once the run is over.

Without a journal a state's key lies beside it. Whoever reads `Context.state` reads the round's secrets.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from flwr.app import ConfigRecord, Context
from flwr.supercore.task_identity import TaskIdentity

from secagg.adapters.flower.envelope import record_of
from secagg.adapters.flower.own_error import as_own_error
from secagg.api.journal import Journal
from secagg.api.records import RunRecords
from secagg.api.shared import SharedJournal
from secagg.errors import SecaggError, StateError, WireError
from secagg.federation.memory import Memory, Saved
from secagg.scheme import Ledger, Store

LEDGER = "secagg.ledger"


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ConfigRecord of a state in `Context.state`; its `record` is empty where that lies in a journal."""

    key: bytes
    record: bytes = b""


class ContextLedger(Store):
    """This client's ledger in `Context.state`, for the run. Raises StateError for one that is damaged."""

    def __init__(self, context: Context) -> None:
        found = record_of(context.state, LEDGER, ConfigRecord)
        try:
            ledger = None if found is None else Ledger.from_bytes(msgspec.convert(found["opened"], bytes))
        except (KeyError, msgspec.ValidationError, WireError) as error:
            raise StateError(f"record {LEDGER!r} in Context.state is no ledger: {error}") from None
        super().__init__(ledger)
        self._context = context

    def flush(self) -> None:
        """The ledger, there before a reply leaves."""
        with self.open_ledger() as ledger:
            self._context.state[LEDGER] = ConfigRecord({"opened": ledger.to_bytes()})


class ContextMemory(Memory):
    """Records that are in `Context.state` before the mod returns its message, and this client's ledger there."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def _read(self, name: str) -> tuple[bytes, bytes] | None:
        kept = _kept(self._context, name)
        return None if kept is None else (kept.key, kept.record)

    def _write(self, name: str, key: bytes, record: bytes) -> None:
        self._context.state[name] = ConfigRecord({"key": key, "record": record})

    def forget(self, kind: type[Saved]) -> None:
        """Remove it, secrets included."""
        self._context.state.pop(kind.NAME, None)

    def party_store(self) -> Store:
        """What this client has entered and helped to open in this run. Raises StateError."""
        return ContextLedger(self._context)


class NodeMemory(Memory):
    """Records in the node's own journal, and their keys in `Context.state`; one ledger for all of the node's runs."""

    def __init__(self, context: Context, path: str) -> None:
        self._context = context
        self._journal = NodeJournal(path)
        self._records = RunRecords(self._journal, str(context.run_id))

    def _read(self, name: str) -> tuple[bytes, bytes] | None:
        """None where the key is gone, as it is after a restart of the SuperNode: nothing opens the rest."""
        record, kept = self._records.read(name), _kept(self._context, name)
        return None if record is None or kept is None else (kept.key, record)

    def _write(self, name: str, key: bytes, record: bytes) -> None:
        self._records.write(name, record)
        self._context.state[name] = ConfigRecord({"key": key})

    def forget(self, kind: type[Saved]) -> None:
        """Remove it, secrets included."""
        self._context.state.pop(kind.NAME, None)
        self._records.forget(kind.NAME)

    def party_store(self) -> Store:
        """What this node has entered and helped to open, in any run."""
        return self._journal


class NodeJournal(SharedJournal):
    """The operator's own file, whose name no server learns: what is wrong with it is an OwnError."""

    def __init__(self, path: str) -> None:
        with as_own_error((SecaggError, OSError)):
            super().__init__(path)

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        """As `SharedJournal.journal`."""
        with as_own_error((StateError, OSError)), super().journal() as journal:
            yield journal


def _kept(context: Context, name: str) -> _Kept | None:
    """None where there is none. Raises StateError for one that is damaged."""
    found = record_of(context.state, name, ConfigRecord)
    try:
        return None if found is None else msgspec.convert(dict(found), type=_Kept)
    except msgspec.ValidationError as error:
        raise StateError(f"record {name!r} in Context.state is no memory of a round: {error}") from None


def is_deployed(context: Context) -> bool:
    """Whether this process works for a SuperNode, which named its task by the node; a simulation's are of no node."""
    try:
        return TaskIdentity.node_id == context.node_id
    except RuntimeError:
        return False
