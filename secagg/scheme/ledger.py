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
    """Remembers, for each context, the cohorts whose sums this party helped to open.

    Two sums of the same updates over cohorts that differ in a few parties give away the difference: the sum of
    those few. So two cohorts under one context must be the same or differ by `min_cohort` parties. Keep it where
    the party's identity is kept, and save it before each reply leaves (`store` of `Participant.answer`).
    """

    def __init__(self) -> None:
        self._opened: dict[bytes, set[frozenset[PartyId]]] = {}

    def check(self, context: bytes, contributors: Set[PartyId], min_cohort: int) -> None:
        """Raise PolicyRefused if a sum over `contributors` is too close to one that was opened before."""
        for before in self._opened.get(_digest(context), ()):
            apart = len(before ^ contributors)
            if 0 < apart < min_cohort:
                raise PolicyRefused(
                    f"a second sum under the same context over a cohort that differs by {apart}: "
                    f"this party's policy asks for none or at least {min_cohort} (Policy.min_cohort)"
                )

    def add(self, context: bytes, contributors: Set[PartyId]) -> None:
        """Remember that a sum over `contributors` was opened under `context`."""
        self._opened.setdefault(_digest(context), set()).add(frozenset(contributors))

    def forget(self, context: bytes) -> None:
        """Drop a context that no server can use again, because this party has moved on from its model."""
        self._opened.pop(_digest(context), None)

    def to_bytes(self) -> bytes:
        """All of it; not secret, but who trained with whom."""
        rows = (
            _Opened(context, tuple(sorted(cohort, key=lambda party: (isinstance(party, str), party))))
            for context, cohorts in self._opened.items()
            for cohort in cohorts
        )
        return codec.encode(_Saved(tuple(sorted(rows, key=codec.encode))))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Ledger":
        """The ledger that `to_bytes` wrote. Raises WireError."""
        ledger = cls()
        for row in codec.decode(data, _Saved).opened:
            if len(row.context) != hashlib.sha256().digest_size:
                raise WireError("ledger with a context that is no digest")
            ledger._opened.setdefault(row.context, set()).add(frozenset(row.contributors))
        return ledger


def _digest(context: bytes) -> bytes:
    return hashlib.sha256(b"secagg/ledger/1" + context).digest()
