"""A client's memory: ConfigRecords in `Context.state`, all that outlives a message in Flower."""

from dataclasses import dataclass

import msgspec
from flwr.app import ConfigRecord, Context

from secagg.adapters import choice
from secagg.adapters.flower.envelope import record_of
from secagg.api import Participant, Prepared
from secagg.errors import ConfigError, StateError, WireError
from secagg.primitives.entropy import Entropy
from secagg.scheme import Ledger

RECORD = "secagg"
LEDGER = "secagg.ledger"
PREPARED = "secagg.prepared"
KEY_BYTES = 32


@dataclass(frozen=True, repr=False)
class Remembered:
    """What a client wrote down at its last answer.

    Attributes:
        key: of the state, 32 bytes; secret.
        terms: those it entered the round under.
        parties: of its session.
        state: what `Participant.save` returned under `key`.
    """

    key: bytes
    terms: choice.Terms
    parties: int
    state: bytes


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The round's ConfigRecord."""

    key: bytes
    terms: bytes
    parties: int
    state: bytes


class _Ahead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ConfigRecord of what was prepared for a round."""

    key: bytes
    state: bytes


class _Opened(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ledger's ConfigRecord."""

    opened: bytes


class Memory:
    """Reads and writes the records.

    The state is encrypted under a key that is drawn for each round and lies beside it, for `Context.state` is the
    only place there is. So the encryption detects damage and binds the state to its purpose; whoever reads
    `Context.state` reads the round's secrets. Forgetting removes key and state together.
    """

    def __init__(self, context: Context, entropy: Entropy) -> None:
        self._context = context
        self._entropy = entropy

    def begin(self, terms: choice.Terms, ledger: Ledger | None) -> "Writer":
        """A writer for a new round; its first `store` replaces the last round's memory."""
        return Writer(self, self._entropy(KEY_BYTES), terms, ledger)

    def ledger(self) -> Ledger:
        """What this client has helped to open in this run, which outlives its rounds. Raises StateError."""
        record = record_of(self._context.state, LEDGER, ConfigRecord)
        if record is None:
            return Ledger()
        try:
            return Ledger.from_bytes(msgspec.convert(dict(record), type=_Opened).opened)
        except (msgspec.ValidationError, WireError) as error:
            raise StateError(f"record {LEDGER!r} in Context.state is no ledger: {error}") from None

    def resume(self, ledger: Ledger | None) -> tuple[Remembered, "Writer"]:
        """The round this client is in, and its writer. Raises StateError where it is in none."""
        record = record_of(self._context.state, RECORD, ConfigRecord)
        if record is None:
            raise StateError("this client is in no round: it was asked for a later phase first, or has left the round")
        try:
            saved = msgspec.convert(dict(record), type=_Record)
            remembered = Remembered(saved.key, choice.read_terms(saved.terms), saved.parties, saved.state)
        except (msgspec.ValidationError, WireError) as error:
            raise StateError(f"record {RECORD!r} in Context.state is no memory of a round: {error}") from None
        return remembered, Writer(self, saved.key, remembered.terms, ledger)

    def prepared(self) -> Prepared | None:
        """What this client prepared and has not used. Raises StateError, once, for a record that does not open."""
        record = record_of(self._context.state, PREPARED, ConfigRecord)
        if record is None:
            return None
        try:
            saved = msgspec.convert(dict(record), type=_Ahead)
            return Prepared.restore(saved.state, saved.key)
        except (msgspec.ValidationError, StateError, ConfigError) as error:
            del self._context.state[PREPARED]
            raise StateError(f"record {PREPARED!r} in Context.state is nothing prepared: {error}") from None

    def keep(self, prepared: Prepared) -> None:
        """Make it the one, in place of any before: in `Context.state` before the mod returns its message."""
        key = self._entropy(KEY_BYTES)
        self._context.state[PREPARED] = ConfigRecord({"key": key, "state": prepared.save(key)})

    def write(self, remembered: Remembered, ledger: Ledger | None) -> None:
        """Make them the records. The round's secrets are in them now, so what was prepared for it goes."""
        if PREPARED in self._context.state:
            del self._context.state[PREPARED]
        if ledger is not None:
            self._context.state[LEDGER] = ConfigRecord({"opened": ledger.to_bytes()})
        self._context.state[RECORD] = ConfigRecord(
            {
                "key": remembered.key,
                "terms": choice.terms_bytes(remembered.terms),
                "parties": remembered.parties,
                "state": remembered.state,
            }
        )

    def forget(self) -> None:
        """Remove the round's memory, secrets included; ledger and what is prepared for another round stay."""
        if RECORD in self._context.state:
            del self._context.state[RECORD]


@dataclass(frozen=True, repr=False)
class Writer:
    """Stores one round's participant under that round's key."""

    memory: Memory
    key: bytes
    terms: choice.Terms
    ledger: Ledger | None

    def store(self, participant: Participant) -> None:
        """For `Participant.answer(store=...)`: in `Context.state` before the mod returns the reply."""
        parties = len(participant.session.parties)
        self.memory.write(Remembered(self.key, self.terms, parties, participant.save(self.key)), self.ledger)
