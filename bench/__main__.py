"""`python -m bench SUITE` measures, shows a table, keeps the figures as JSON; `python -m bench` says what there is."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any, get_args, get_type_hints

from rich.console import Console

from bench import machine, results
from bench.cohorts import COMMON, TABLES, Options
from bench.measure import Job
from bench.results import Results, Row
from secagg.errors import SecaggError
from secagg_protocols import PROTOCOLS

HERE = Path(__file__).parent
SUITES = TABLES.suites


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 2 for what cannot be measured, after one line that says why."""
    parser, words = _parser(), sys.argv[1:] if arguments is None else list(arguments)
    if not words:
        parser.print_help()
        return 0
    parsed = parser.parse_args(words)
    try:
        if parsed.suite == "report":
            for path in import_module("bench.report").draw(results.load(parsed.results), parsed.docs):
                print(f"wrote {path}")
        else:
            _measure(parsed)
    except SecaggError as error:
        Console(stderr=True, soft_wrap=True).print(f"bench: {error}", markup=False, style="red")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    suites = parser.add_subparsers(dest="suite", required=True)
    for name, suite in SUITES.items():
        command = suites.add_parser(name, help=suite.what)
        for option in (*COMMON, *suite.own):
            kind = get_type_hints(Options)[option]
            how: dict[str, Any] = {"action": "store_true"} if kind is bool else {"type": get_args(kind)[0]}
            how |= {"choices": tuple(PROTOCOLS)} if option == "protocol" else {}
            command.add_argument(f"--{option}", help=TABLES.options[option], **how)
        command.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    report = suites.add_parser("report", help="Draw docs/benchmarks.md and its figures from bench/results.")
    report.add_argument("--results", type=Path, default=HERE / "results", metavar="DIR")
    report.add_argument("--docs", type=Path, default=HERE.parent / "docs", metavar="DIR")
    return parser


def _measure(parsed: argparse.Namespace) -> None:
    """One suite. What is said to have been typed leaves out where the JSON goes, which is this machine's affair."""
    asked = {name: value for name, value in vars(parsed).items() if name in TABLES.options and value is not None}
    module, _, maker = SUITES[parsed.suite].jobs.partition(":")
    jobs = getattr(import_module(module), maker)(Options(**asked))
    where, start = machine.look(), perf_counter()
    rows = _run(jobs, Console(stderr=True))
    words = {name: "" if value is True else f"={value}" for name, value in asked.items() if value is not False}
    command = " ".join(["python -m bench", parsed.suite, *(f"--{name}{value}" for name, value in words.items())])
    found = Results(parsed.suite, command, parsed.quick, perf_counter() - start, where, tuple(rows))
    if parsed.json is not None:
        results.save(found, parsed.json)
    # Wide where it is no terminal, so that tables keep their rows on one line.
    results.show(found, Console() if sys.stdout.isatty() else Console(width=160))


def _run(jobs: Sequence[Job], console: Console) -> list[Row]:
    """All jobs, and a line that says which, which is quiet where standard error is no terminal."""
    rows: list[Row] = []
    with console.status("") as status:

        def tell(job: str, doing: str) -> None:
            status.update(f"{job}: {doing}")

        for place, job in enumerate(jobs, 1):
            rows += job.work(partial(tell, f"{place} of {len(jobs)}, {job.name}"))
    return rows


if __name__ == "__main__":
    sys.exit(main())
