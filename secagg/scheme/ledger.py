"""What one party has entered and helped to open, across rounds."""

import hashlib
from collections.abc import Set

from secagg.errors import ConfigError, PartyId, PolicyRefused, WireError
from secagg.scheme.session import check_round
from secagg.wire import codec


class _Opened(codec.Message, frozen=True):
    """One sum that was opened: digests of what its updates were of and of how they were encoded, and the ids in it."""

    subject: bytes
    encoding: bytes
    contributors: tuple[int | str, ...]


class _Entered(codec.Message, frozen=True):
    """A training run, and the largest round of it that was entered."""

    run: bytes
    round: int


class _Saved(codec.Message, frozen=True):
    """All of them."""

    opened: tuple[_Opened, ...]
    entered: tuple[_Entered, ...]


class Ledger:
    """Remembers, for each model, the cohort whose sum this party helped to open, and how updates were encoded.

    A model is what a seat calls so (`Seat.model`), or else its whole context: the `subject` of a sum.

    Two sums of the same updates over two cohorts give away the sum over those in which they differ; and sums over
    cohorts that lie far apart may together give away one party, whatever each party sees of them. Two sums over one
    cohort with different clips or weights do too: each is a different function of every update. So a party helps one
    cohort per model, under one encoding. And it enters a round of a run (`Session.run`) once, and none that
    came before one it has entered: what it prepared for a round serves in one session.

    Keep the ledger where the party's identity is kept, and save it before each reply leaves (`store` of
    `Participant.answer`).
    """

    def __init__(self) -> None:
        self._opened: dict[bytes, tuple[bytes, frozenset[PartyId]]] = {}
        self._entered: dict[bytes, int] = {}

    def check(self, subject: bytes, encoding: bytes, contributors: Set[PartyId]) -> None:
        """Raise PolicyRefused if another sum of `subject` was opened before: over other parties, or encoded otherwise.

        Args:
            subject: what the updates are functions of.
            encoding: digest of all that decides which vector an update becomes, 32 bytes.
            contributors: ids of those in the sum.
        """
        known, cohort = self._opened.get(_digest(subject), (encoding, contributors))
        if cohort != contributors:
            raise PolicyRefused(
                "a second sum of updates of the same model over a cohort that differs by "
                f"{len(cohort ^ contributors)}: the two would give away the difference; a retry with other parties "
                "needs another model"
            )
        if known != encoding:
            raise PolicyRefused(
                "a second sum of updates of the same model with another structure, bits, clip, weights or rounding: "
                "the two would tell more than one sum; a retry with others needs another model"
            )

    def add(self, subject: bytes, encoding: bytes, contributors: Set[PartyId]) -> None:
        """Remember that this sum was of `subject` was opened. Raises what `check` does."""
        self.check(subject, encoding, contributors)
        self._opened[_digest(subject)] = encoding, frozenset(contributors)

    def forget(self, subject: bytes) -> None:
        """Drop a model that no server can use again, because this party has moved on from it."""
        self._opened.pop(_digest(subject), None)

    def check_round(self, run: bytes, round: int) -> None:
        """Raise PolicyRefused for a round of `run` that was entered before, or that comes before one that was."""
        last = self._entered.get(run, -1)
        if round <= last:
            raise PolicyRefused(
                f"round {round} of a run in which this party has entered round {last}: "
                "each round has one session, and a retry needs a number of its own"
            )

    def enter(self, run: bytes, round: int) -> None:
        """Remember that this party answered in a session of that round. Raises what `check_round` does."""
        self.check_round(run, round)
        self._entered[run] = round

    def forget_run(self, run: bytes) -> None:
        """Drop a run, once it is over and nothing that was prepared for it is left."""
        self._entered.pop(run, None)

    def to_bytes(self) -> bytes:
        """All of it; not secret, but who trained with whom."""
        return codec.encode(
            _Saved(
                tuple(
                    _Opened(subject, encoding, tuple(sorted(cohort, key=lambda party: (isinstance(party, str), party))))
                    for subject, (encoding, cohort) in sorted(self._opened.items())
                ),
                tuple(_Entered(run, number) for run, number in sorted(self._entered.items())),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Ledger":
        """The ledger that `to_bytes` wrote. Raises WireError."""
        ledger = cls()
        saved = codec.decode(data, _Saved)
        for row in saved.opened:
            if {len(row.subject), len(row.encoding)} != {hashlib.sha256().digest_size}:
                raise WireError("ledger with a model or an encoding that is no digest")
            ledger._opened[row.subject] = row.encoding, frozenset(row.contributors)
        for entered in saved.entered:
            try:
                check_round(entered.run, entered.round)
            except ConfigError as error:
                raise WireError(f"ledger: {error}") from None
            ledger._entered[entered.run] = entered.round
        if ledger.to_bytes() != data:
            raise WireError("ledger with a model, a party or a run twice, or out of order")
        return ledger


def _digest(subject: bytes) -> bytes:
    return hashlib.sha256(b"secagg/ledger/1" + subject).digest()
