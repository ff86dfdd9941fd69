"""How fast frames, messages and sessions decode: microseconds each, and bytes a second.

    python -m bench.decoding [--clients 100] [--dim 100000] [--json]

The bytes are those of one real round of SecAgg, so `--clients` sets the sizes of most messages, `--dim` that of the
masked vector.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.table import Table

from secagg.errors import PartyId
from secagg.scheme import Session
from secagg.testing import SeededEntropy, TestRound
from secagg.wire import codec, frame
from secagg_protocols import PairwiseMasking

RUNS = 25


@dataclass(frozen=True)
class Row:
    """One decoder on one input.

    Attributes:
        what: the message.
        size: bytes of the input.
        microseconds: median of one decoding.
        megabytes_per_second: size over that.
    """

    what: str
    size: int
    microseconds: float
    megabytes_per_second: float


def measured(what: str, data: bytes, decode: Callable[[bytes], object]) -> Row:
    """Decode the same bytes `RUNS` times."""
    spent = []
    for _ in range(RUNS):
        start = perf_counter()
        decode(data)
        spent.append(perf_counter() - start)
    seconds = median(spent)
    return Row(what, len(data), 1e6 * seconds, len(data) / seconds / 1e6)


def report(clients: int, dim: int) -> list[Row]:
    """Every message of one round as it arrives (frame and message), the session."""
    updates: dict[PartyId, np.ndarray] = dict.fromkeys(range(clients), np.zeros(dim, np.uint16))
    session = Session.create(range(clients), updates[0])
    round_ = TestRound(PairwiseMasking(), session, updates, entropy=SeededEntropy(1))
    rows = [measured("Session", session.to_bytes(), Session.from_bytes)]
    for phase in round_.scheme.phases:
        ask = round_.coordinator.asks()[0]
        rows.append(measured(phase.ask.__name__, ask, _framed(phase.ask)))
        round_.exchange()
        if phase.reply is not None:
            rows.append(measured(phase.reply.__name__, round_.sent[phase.name, 0], _framed(phase.reply)))
        round_.coordinator.close_phase()
    return rows


def _framed(kind: type[codec.Message]) -> Callable[[bytes], object]:
    return lambda data: codec.decode(frame.unwrap(data).body, kind)


def show(rows: Sequence[Row]) -> None:
    """A table for people."""
    table = Table("what", *(["bytes", "us", "MB/s"]), title="Decoding, median of one")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(row.what, f"{row.size:,}", f"{row.microseconds:,.1f}", f"{row.megabytes_per_second:,.0f}")
    Console().print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.decoding", description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--dim", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="for machines")
    options = parser.parse_args(arguments)
    rows = report(options.clients, options.dim)
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        show(rows)


if __name__ == "__main__":
    main()
