"""What a suite measured, as JSON."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from bench.machine import Machine
from bench.measure import Times

Case = dict[str, str | int | float]
"""What was fixed: sizes, names of implementations."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measurement.

    Attributes:
        what: name of the measurement, the same for all its cases.
        case: what was fixed.
        seconds: median.
        low, high: quartiles.
        runs: how many times.
        figures: what else was counted, such as {"bytes": ...}; seconds where the name says so.
    """

    what: str
    case: Case
    seconds: float
    low: float
    high: float
    runs: int
    figures: dict[str, float]

    @property
    def rate(self) -> float:
        """Bytes a second; of rows that count "bytes"."""
        return self.figures["bytes"] / self.seconds


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run of one suite.

    Attributes:
        suite: "kernels", "handlers", "rounds" or "peers".
        command: what was typed.
        quick: sizes cut down to show that everything runs.
        seconds: the whole run.
        machine: where it ran.
        rows: in the order of measurement.
    """

    suite: str
    command: str
    quick: bool
    seconds: float
    machine: Machine
    rows: tuple[Row, ...]

    def all(self, what: str, **case: str | float) -> list[Row]:
        """Rows of that name whose case holds at least `case`."""
        return [row for row in self.rows if row.what == what and case.items() <= row.case.items()]

    def one(self, what: str, **case: str | float) -> Row | None:
        """The first of them, None where it was not measured."""
        return next(iter(self.all(what, **case)), None)


def row(what: str, case: Case, times: Times, **figures: float) -> Row:
    """A row of measured times."""
    low, high = times.quartiles
    return Row(what, case, times.median, low, high, len(times.seconds), figures)


def title_of(case: Case) -> str:
    """The cohort of a replayed round, in a few words."""
    graph = f" k = {case['neighbours']}" if case["protocol"] == "SecAgg+" else ""
    return f"{case['protocol']}{graph}, n = {case['clients']}, dim {case['dim']}, {case['lost']} lost"


def save(results: Results, path: Path) -> None:
    """Write JSON that a person can read: counts as they are, and of other figures the six digits that mean anything."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rounded = msgspec.convert(_rounded(msgspec.to_builtins(results)), Results)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(rounded), indent=1) + b"\n")


def load(folder: Path) -> dict[str, Results]:
    """{suite: its results} of all files in `folder`. Raises msgspec.ValidationError for a file that is none."""
    found = (msgspec.json.decode(path.read_bytes(), type=Results) for path in sorted(folder.glob("*.json")))
    return {results.suite: results for results in found}


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return value if value.is_integer() else float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_rounded(item) for item in value]
    return value
