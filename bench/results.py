"""What a suite measured: as rows, as JSON, and as tables for a terminal."""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, groupby
from pathlib import Path
from statistics import median, quantiles

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from bench.machine import Machine

Case = dict[str, str | int | float]
"""What was fixed: sizes, names of implementations."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measurement: its name, the same for all its cases; the case; median and quartiles of so many runs; and what
    else was counted, such as {"bytes": ...}, in seconds where the name says so.
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
    """One run of one suite: what was typed, and the rows in the order of measurement."""

    suite: str
    command: str
    quick: bool
    seconds: float
    machine: Machine
    rows: tuple[Row, ...]

    def all(self, what: str, **case: object) -> list[Row]:
        """Rows of that name whose case holds at least `case`."""
        return [row for row in self.rows if row.what == what and case.items() <= row.case.items()]


Found = Mapping[str, Results]
"""{suite: its results}."""


def row(what: str, case: Mapping[str, str | int | float], seconds: Sequence[float], **figures: float) -> Row:
    """A row of measured times; of fewer than four, the ends of all stand for the quartiles."""
    low, high = min(seconds), max(seconds)
    if len(seconds) >= 4:
        low, _, high = quantiles(seconds, n=4, method="inclusive")
    counted = {name: float(value) for name, value in figures.items()}
    return Row(what, dict(case), median(seconds), low, high, len(seconds), counted)


def title_of(case: Case) -> str:
    """The cohort of a replayed round, in a few words."""
    graph = f" k = {case['neighbours']}" if case["protocol"] == "SecAgg+" else ""
    return f"{case['protocol']}{graph}, n = {case['clients']}, dim {case['dim']}, {case['lost']} lost"


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    scale, unit = next((pair for pair in ((1.0, "s"), (1e-3, "ms")) if seconds >= pair[0]), (1e-6, "us"))
    return f"{seconds / scale:.3g} {unit}"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


SHOWN: dict[str, Callable[[float], str]] = {
    "bytes": "{:,.0f}".format,
    **dict.fromkeys(("server", "server cpu", "server unmask", "client masked", "client", "holder"), duration),
    **dict.fromkeys(("sent", "received", "grown", "before", "after", "clients' process"), _megabytes),
    **dict.fromkeys(("ring bits", "bytes a value", "bytes a share", "trips"), "{:.5g}".format),
    "over": "{:.4%}".format,
    "of a plain round": "{:.1%}".format,
}
"""{figure that a person wants to see: how it reads}."""


def save(results: Results, path: Path) -> None:
    """Write JSON that a person can read: counts as they are, and of other figures the six digits that mean anything."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rounded = json.loads(msgspec.json.encode(results), parse_float=_rounded)
    path.write_text(json.dumps(rounded, indent=1) + "\n", "utf-8")


def _rounded(digits: str) -> float:
    value = float(digits)
    return value if value.is_integer() else float(f"{value:.6g}")


def load(folder: Path) -> dict[str, Results]:
    """{suite: its results} of all files in `folder`. Raises msgspec.ValidationError for a file that is none."""
    found = (msgspec.json.decode(path.read_bytes(), type=Results) for path in sorted(folder.glob("*.json")))
    return {results.suite: results for results in found}


def show(found: Results, console: Console) -> None:
    """One table a kind of measurement, and a line on where it was taken."""
    for what, rows in groupby(found.rows, key=lambda row: row.what):
        console.print(_table(what, list(rows)))
    where = found.machine
    facts = f"on {where.cpu}, {where.cores} cores, mask kernel {where.kernel}, load {where.load:.1f} before"
    console.print(f"{found.seconds:.0f} s {facts}", highlight=False)


def _table(what: str, rows: Sequence[Row]) -> Table:
    """What differs between the cases, and what was measured."""
    cases = [name for name in rows[0].case if len({str(row.case.get(name)) for row in rows}) > 1 or len(rows) == 1]
    lines = [{name: str(row.case.get(name, "")) for name in cases} | _measures(row) for row in rows]
    columns = [name for name in dict.fromkeys(chain(*lines)) if any(line.get(name) for line in lines)]
    table = Table(title=what, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if isinstance(rows[0].case.get(name), str) else "right")
    for line in lines:
        table.add_row(*(line.get(name, "") for name in columns))
    return table


def _measures(row: Row) -> dict[str, str]:
    """{column: cell}. Of the figures of a row, those that a person wants to see; the JSON has all."""
    found = {"median": duration(row.seconds)}
    if row.runs > 1:
        found |= {"middle half": f"{duration(row.low)} .. {duration(row.high)}", "runs": str(row.runs)}
    shown = {name: read(row.figures[name]) for name, read in SHOWN.items() if name in row.figures}
    if "bytes" in shown and "phase" not in row.case:
        shown["rate"] = f"{row.rate / 1e9:.2f} GB/s"
        del shown["bytes"]
    return found | shown
