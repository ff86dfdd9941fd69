"""What one party has helped to open, across rounds."""

import hashlib
from collections.abc import Set

from secagg.errors import PartyId, PolicyRefused, WireError
from secagg.wire import codec


class _Opened(codec.Message, frozen=True):
    """One sum that was opened: the context's digest, and the ids in it."""

    context: bytes
    contributors: tuple[int | str, ...]


class _Saved(codec.Message, frozen=True):
    """All of them."""

    opened: tuple[_Opened, ...]


class Ledger:
    """Remembers, for each context, the cohort whose sum this party helped to open.

    Two sums of the same updates over two cohorts give away the sum over those in which they differ; and sums over
    cohorts that lie far apart may together give away one party, whatever each party sees of them. So a party
    helps one cohort per context. Keep the ledger where the party's identity is kept, and save it before each reply
    leaves (`store` of `Participant.answer`).
    """

    def __init__(self) -> None:
        self._opened: dict[bytes, frozenset[PartyId]] = {}

    def check(self, context: bytes, contributors: Set[PartyId]) -> None:
        """Raise PolicyRefused if another cohort's sum was opened under `context` before."""
        before = self._opened.get(_digest(context), contributors)
        if before != contributors:
            raise PolicyRefused(
                f"a second sum under the same context over a cohort that differs by {len(before ^ contributors)}: "
                "the two would give away the difference; a retry with other parties needs a context of its own"
            )

    def add(self, context: bytes, contributors: Set[PartyId]) -> None:
        """Remember that a sum over `contributors` was opened under `context`. Raises what `check` does."""
        self.check(context, contributors)
        self._opened[_digest(context)] = frozenset(contributors)

    def forget(self, context: bytes) -> None:
        """Drop a context that no server can use again, because this party has moved on from its model."""
        self._opened.pop(_digest(context), None)

    def to_bytes(self) -> bytes:
        """All of it; not secret, but who trained with whom."""
        return codec.encode(
            _Saved(
                tuple(
                    _Opened(context, tuple(sorted(cohort, key=lambda party: (isinstance(party, str), party))))
                    for context, cohort in sorted(self._opened.items())
                )
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Ledger":
        """The ledger that `to_bytes` wrote. Raises WireError."""
        ledger = cls()
        for row in codec.decode(data, _Saved).opened:
            if len(row.context) != hashlib.sha256().digest_size:
                raise WireError("ledger with a context that is no digest")
            ledger._opened[row.context] = frozenset(row.contributors)
        if ledger.to_bytes() != data:
            raise WireError("ledger with a context or a party twice, or out of order")
        return ledger


def _digest(context: bytes) -> bytes:
    return hashlib.sha256(b"secagg/ledger/1" + context).digest()
