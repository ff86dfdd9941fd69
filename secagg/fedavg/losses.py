"""Who left a secure sum and whom others accuse, in the words of the terminal and the page."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from secagg.fedavg.formats import printable
from secagg.fedavg.history import RoundRecord, StatisticsRecord

Record = RoundRecord | StatisticsRecord
Outcome = Literal["in the sum", "not in the sum", "no sum"]

_AFTERMATH: dict[Outcome, str] = {
    "in the sum": "its update is in the sum",
    "not in the sum": "its update is not in the sum",
    "no sum": "the round has no sum",
}


@dataclass(frozen=True)
class Loss:
    """One hospital that left one secure sum.

    Attributes:
        where: the sum: "round 7", or "standardisation (means)".
        hospital: who left.
        phase: the phase in which it was lost; "" for one that misbehaved without being lost.
        outcome: whether its update is in the sum.
        why: what it did wrong, None when it only went silent.
    """

    where: str
    hospital: str
    phase: str
    outcome: Outcome
    why: str | None

    @property
    def brief(self) -> str:
        """The same without the sum's name: "hospital-03 silent at unmask (in the sum)"."""
        return printable(f"{self.hospital} {self._what('silent')} ({self.outcome})")

    def __str__(self) -> str:
        return printable(f"{self.where}: {self.hospital} {self._what('went silent')} ({_AFTERMATH[self.outcome]})")

    def _what(self, silent: str) -> str:
        if self.why is None:
            return f"{silent} at {self.phase}"
        return f"was left out at {self.phase}: {self.why}" if self.phase else f"misbehaved: {self.why}"


def losses(record: Record) -> Iterator[Loss]:
    """Everyone who left one secure sum: those who were lost first, then those who misbehaved and were not."""
    told = record.sum
    for hospital, phase in told.lost.items():
        yield Loss(name_of(record), hospital, phase, _outcome(record, hospital), told.misbehaved.get(hospital))
    for hospital, why in told.misbehaved.items():
        if hospital not in told.lost:
            yield Loss(name_of(record), hospital, "", _outcome(record, hospital), why)


@dataclass(frozen=True)
class Claim:
    """What hospitals say of another one. Either side may be wrong, so the accused stays in the round.

    Attributes:
        where: the sum: "round 7", or "standardisation (means)".
        accused: the hospital it is about.
        what: the claim.
    """

    where: str
    accused: str
    what: str

    @property
    def brief(self) -> str:
        """The same without the sum's name."""
        return printable(f"others claim of {self.accused}: {self.what}")

    def __str__(self) -> str:
        return printable(f"{self.where}: others claim of {self.accused}, which stays in the round: {self.what}")


def claims(record: Record) -> Iterator[Claim]:
    """What was said of hospitals in one secure sum."""
    for accused, what in record.sum.accused.items():
        yield Claim(name_of(record), accused, what)


def name_of(record: Record) -> str:
    """What people call this secure sum: "round 7", or "standardisation (means, attempt 2)"."""
    if isinstance(record, RoundRecord):
        return f"round {record.number}"
    again = f", attempt {record.attempt}" if record.attempt > 1 else ""
    return f"standardisation ({record.name}{again})"


def _outcome(record: Record, hospital: str) -> Outcome:
    if record.sum.too_few is not None:
        return "no sum"
    return "in the sum" if hospital in record.sum.contributors else "not in the sum"
