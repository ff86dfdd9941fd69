"""Sentences and number formats that the terminal and the page share.

Hospitals' and columns' names come from strangers' files: `printable` takes out of them what could move a
cursor, reverse a line or break a page's markup; escaping for HTML is the template's own duty.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from secagg.fedavg.history import RoundRecord, StatisticsRecord

Record = RoundRecord | StatisticsRecord
DASH = "\N{EN DASH}"
"""Stands for what is not there."""
TIMES = "\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}"
Outcome = Literal["in the sum", "not in the sum", "no sum"]

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
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
        phase: the phase in which it went silent; "" for one that misbehaved without being lost.
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
        phase = f" at {self.phase}" if self.phase else ""
        return printable(f"{self.hospital} {self.why or 'silent'}{phase} ({self.outcome})")

    def __str__(self) -> str:
        what = "went silent" if self.why is None else "was left out"
        phase = f" at {self.phase}" if self.phase else ""
        why = "" if self.why is None else f": {self.why}"
        return printable(f"{self.where}: {self.hospital} {what}{phase}{why} ({_AFTERMATH[self.outcome]})")


def losses(record: Record) -> Iterator[Loss]:
    """Everyone who left one secure sum: the silent first, then those who misbehaved."""
    for hospital, phase in record.lost.items():
        yield Loss(name_of(record), hospital, phase, _outcome(record, hospital), record.misbehaved.get(hospital))
    for hospital, why in record.misbehaved.items():
        if hospital not in record.lost:
            yield Loss(name_of(record), hospital, "", _outcome(record, hospital), why)


def name_of(record: Record) -> str:
    """What people call this secure sum: "round 7", or "standardisation (means, attempt 2)"."""
    if isinstance(record, RoundRecord):
        return f"round {record.number}"
    again = f", attempt {record.attempt}" if record.attempt > 1 else ""
    return f"standardisation ({record.name}{again})"


def _outcome(record: Record, hospital: str) -> Outcome:
    if record.too_few is not None:
        return "no sum"
    return "in the sum" if hospital in record.contributors else "not in the sum"


def printable(text: str) -> str:
    """`text` with every control, format and unassigned character shown as U+FFFD."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _moves(c) else c for c in text)


def _moves(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] == "C" or category in {"Zl", "Zp"}


def counted(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: "1 round", "20 rounds"; `many` where the plural is not `one` + "s"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share in 0..1 as a number of per cent, without the sign: "97.2"; None is a dash."""
    return DASH if share is None else f"{100 * share:.{digits}f}"


def decimals(number: float | None, digits: int) -> str:
    """A number with a fixed count of decimals, so that columns align; None is a dash."""
    return DASH if number is None else f"{number:.{digits}f}"


def bytes_text(count: float) -> str:
    """A number of bytes in SI units and three digits: "512 B", "12.3 kB", "1.40 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} B" if unit == "B" else f"{_three(count)} {unit}"
        count /= 1000
    return f"{_three(count)} TB"


def seconds_text(seconds: float) -> str:
    """A duration in the unit that suits it: "85.0 µs", "1.20 ms", "3.40 s", "2 min 05 s"."""
    if seconds == 0:
        return "0 s"
    if seconds < 0.9995e-3:
        return f"{_three(seconds * 1e6)} µs"
    if seconds < 0.9995:
        return f"{_three(seconds * 1e3)} ms"
    if seconds < 99.5:
        return f"{_three(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def _three(number: float) -> str:
    digits = 2 if number < 9.995 else 1 if number < 99.95 else 0
    return f"{number:.{digits}f}"


def power(number: float | None) -> str:
    """Two digits and a power of ten, as printed: "2.1 × 10⁻⁶", which never breaks; None is a dash."""
    if number is None:
        return DASH
    if number == 0:
        return "0"
    mantissa, exponent = f"{number:.1e}".split("e")
    return f"{mantissa}{TIMES}10{str(int(exponent)).translate(_SUPERSCRIPT)}"
