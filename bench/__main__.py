"""`python -m bench SUITE` measures, shows a table, keeps the figures as JSON; `python -m bench` says what there is."""

import argparse
import ast
import importlib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench import machine, results, screen
from bench.options import Job, Options
from bench.results import Results, Row
from secagg.errors import SecaggError

SUITES = ("kernels", "handlers", "rounds", "peers")
HERE = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 2 for what cannot be measured, after one line that says why."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if not words:
        Console(soft_wrap=True, highlight=False).print(listing(), markup=False)
        return 0
    parsed = _parser().parse_args(words)
    try:
        if parsed.suite == "report":
            return _draw(parsed)
        return _measure(parsed)
    except SecaggError as error:
        Console(stderr=True, soft_wrap=True).print(f"bench: {error}", markup=False, style="red")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    suites = parser.add_subparsers(dest="suite", required=True)
    for name in SUITES:
        suite = suites.add_parser(name, help=_first_line(_source(name)))
        suite.add_argument("--protocol", choices=("secagg", "secagg+", "paillier", "ckks"))
        for number, what in (
            ("clients", "n"),
            ("dim", "entries of each update"),
            ("neighbours", "k of SecAgg+; of kernels, how many masks"),
            ("lost", "clients that send no vector"),
        ):
            suite.add_argument(f"--{number}", type=int, metavar="N", help=what)
        suite.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
        suite.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    report = suites.add_parser("report", help="draw docs/benchmarks.md and its figures from JSON")
    report.add_argument("--results", type=Path, default=HERE / "results", metavar="DIR")
    report.add_argument("--docs", type=Path, default=HERE.parent / "docs", metavar="DIR")
    return parser


def _measure(parsed: argparse.Namespace) -> int:
    names = ("protocol", "clients", "dim", "neighbours", "lost", "quick")
    options = Options(**{name: getattr(parsed, name) for name in names})
    suite = importlib.import_module(f"bench.{parsed.suite}")
    where, start = machine.look(), perf_counter()
    rows = _run(suite.jobs(options), Console(stderr=True))
    command = " ".join(["python -m bench", parsed.suite, *_sizes(parsed)])
    found = Results(parsed.suite, command, options.quick, perf_counter() - start, where, tuple(rows))
    if parsed.json is not None:
        results.save(found, parsed.json)
    screen.show(found, screen.console())
    return 0


def _sizes(parsed: argparse.Namespace) -> list[str]:
    """The words of the command that decide what is measured; where the JSON goes is this machine's affair."""
    named = ("protocol", "clients", "dim", "neighbours", "lost")
    words = [f"--{name}={value}" for name in named if (value := getattr(parsed, name)) is not None]
    return words + ["--quick"] * parsed.quick


def _run(jobs: Sequence[Job], console: Console) -> list[Row]:
    """All jobs under a progress bar, which is quiet where standard error is no terminal."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    rows: list[Row] = []
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=len(jobs))
        for job in jobs:
            progress.update(bar, description=job.name)
            rows += job.work(partial(_tell, progress, bar, job.name))
            progress.advance(bar)
    return rows


def _tell(progress: Progress, bar: TaskID, job: str, doing: str) -> None:
    progress.update(bar, description=f"{job}: {doing}")


def _draw(parsed: argparse.Namespace) -> int:
    report = importlib.import_module("bench.report")  # needs Matplotlib, which the suites do without
    for path in report.draw(results.load(parsed.results), parsed.docs):
        Console(soft_wrap=True, highlight=False).print(f"wrote {path}", markup=False)
    return 0


def listing() -> str:
    """Every command of this package: the suites, and the modules that are commands of their own."""
    own = sorted(path.stem for path in HERE.glob("*.py") if _is_command(path))
    lines = [f"python -m bench {name:<9} {_first_line(_source(name))}" for name in SUITES]
    lines.append(f"python -m bench {'report':<9} Draw docs/benchmarks.md and its figures from bench/results.")
    lines += [f"python -m bench.{name:<9} {_first_line(HERE / f'{name}.py')}" for name in own]
    return "\n".join([*lines, "Options of each: --help."])


def _source(name: str) -> Path:
    package = HERE / name / "__init__.py"
    return package if package.exists() else HERE / f"{name}.py"


def _is_command(path: Path) -> bool:
    """Whether a person starts it: it has a command line of its own."""
    text = path.read_text("utf-8")
    return path.name != "__main__.py" and "argparse" in text and 'if __name__ == "__main__"' in text


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
