"""Results as tables for a terminal."""

import sys
from collections.abc import Callable, Sequence
from itertools import groupby

from rich import box
from rich.console import Console
from rich.table import Table

from bench.results import Results, Row

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))


def show(found: Results, console: Console) -> None:
    """One table a kind of measurement, and a line on where it was taken."""
    for what, rows in groupby(found.rows, key=lambda row: row.what):
        console.print(_table(what, list(rows)))
    where = found.machine
    console.print(
        f"{found.seconds:.0f} s on {where.cpu}, {where.cores} cores, mask kernel {where.kernel}, "
        f"load {where.load:.1f} before",
        highlight=False,
    )


def _table(what: str, rows: Sequence[Row]) -> Table:
    table = Table(title=what, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    columns = [name for name in rows[0].case if len({str(row.case.get(name)) for row in rows}) > 1 or len(rows) == 1]
    for name in columns:
        table.add_column(name, justify="left" if isinstance(rows[0].case[name], str) else "right", no_wrap=True)
    for name in ("median", "middle half", "runs", "rate", "counted"):
        table.add_column(name, justify="left" if name == "counted" else "right", no_wrap=name != "counted")
    for row in rows:
        table.add_row(*(str(row.case.get(name, "")) for name in columns), *_measures(row))
    return table


def _measures(row: Row) -> tuple[str, str, str, str, str]:
    spread = f"{duration(row.low)} .. {duration(row.high)}"
    rate = f"{row.rate / 1e9:.2f} GB/s" if "bytes" in row.figures and "phase" not in row.case else ""
    counted = [f"{name} {_SHOWN[name](row.figures[name])}" for name in _SHOWN if name in row.figures]
    if "phase" in row.case and "bytes" in row.figures:
        counted.append(f"{row.figures['bytes']:.0f} bytes")
    return duration(row.seconds), spread if row.runs > 1 else "", str(row.runs), rate, ", ".join(counted)


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    scale, unit = next(((s, u) for s, u in _UNITS if seconds >= s), _UNITS[-1])
    return f"{seconds / scale:.3g} {unit}"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.0f} MB"


_SHOWN: dict[str, Callable[[float], str]] = {
    "server cpu": duration,
    "server unmask": duration,
    "client masked": duration,
    "client": duration,
    "holder": duration,
    "before": _megabytes,
    "after": _megabytes,
    "ring bits": "{:.0f}".format,
    "over": "{:.4%}".format,
    "bytes a value": "{:.3f}".format,
    "phe's seconds a value over ours": "{:.0f}".format,
    "gmpy2's seconds over ours": "{:.1f}".format,
}
"""Of the figures of a row, those that a person is shown; the JSON has all."""


def console() -> Console:
    """Standard output; wide where it is no terminal, so that tables keep their rows on one line."""
    return Console() if sys.stdout.isatty() else Console(width=160)
