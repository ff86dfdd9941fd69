"""One HTML page about one run, for people; and the same run as JSON, for machines.

The page needs nothing else: charts are inline SVG, there is no script and no font to fetch, and its own
content security policy forbids both. Names of hospitals, columns and classes come from strangers' files:
the template escapes them all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from secagg.errors import ConfigError
from secagg.fedavg import formats, tables
from secagg.fedavg.history import ALONE, CENTRALIZED, PLAIN, Run
from secagg.fedavg.losses import name_of
from secagg.fedavg.page import charts, prose
from secagg.fedavg.trust import at_hospitals
from secagg.scheme.facts import Limits

GLYPHS: dict[tables.State, str] = {
    "summed": "●",
    "late": "◐",
    "lost": "○",
    "void": "\N{MULTIPLICATION SIGN}",
    "idle": "·",
}
"""How the page shows one hospital in one round."""


def write_report(run: Run, limits: Limits, folder: Path) -> Path:
    """Write `index.html` and `run.json` into `folder`, made where it is missing, and return the page's path.

    Args:
        run: what there is to report.
        limits: who can read single updates under the run's protocol, as its `Scheme.facts` say.
        folder: where to.

    Raises:
        ConfigError: the folder or a file in it cannot be written.
    """
    make_folder(folder)
    page, record = render(run, limits), msgspec.json.format(msgspec.json.encode(run), indent=1)
    path = folder / "index.html"
    with _writing(folder):
        path.write_text(page, encoding="utf-8")
        (folder / "run.json").write_bytes(record + b"\n")
    return path


def make_folder(folder: Path) -> None:
    """Make the report's folder where it is missing, so that a long run does not end at a bad path.

    Raises:
        ConfigError: it cannot be made, or is no folder.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        why = problem.strerror or "cannot be written"
        raise ConfigError(f"report folder {str(folder)!r}: {why}, expected a folder that can be written") from None


def render(run: Run, limits: Limits) -> str:
    """The page as text; the same arguments give the same text."""
    source = _part("page.html.jinja")
    told = _figures(run) | _sentences(run) | _rows(run)
    return _environment().from_string(source).render(**told, limits=at_hospitals(limits))


def _part(name: str) -> str:
    return files("secagg.fedavg.page").joinpath(name).read_text(encoding="utf-8")


def _figures(run: Run) -> dict[str, Any]:
    """What the page reads as numbers."""
    return {
        "run": run,
        "version": version("secagg"),
        "secure": tables.secure(run),
        "plain": tables.overall(run, PLAIN),
        "centralized": tables.overall(run, CENTRALIZED),
        "alone": tables.overall(run, ALONE),
        "exact": tables.exactness(run),
        "void": tables.void_rounds(run),
        "glyphs": GLYPHS,
    }


def _sentences(run: Run) -> dict[str, Any]:
    return {
        "css": Markup(_part("page.css")),  # noqa: S704  # a file of this package
        "title": prose.title(run),
        "headline": prose.headline(run),
        "exact_answer": prose.exact_answer(run),
        "data_note": prose.patients(run),
        "settings": prose.choices(run),
    }


def _rows(run: Run) -> dict[str, Any]:
    """Tables and charts."""
    costs, roles = tables.typical_costs(run), tables.roles_of(run.rounds)
    return {
        "losses": tables.losses_in_training(run),
        "losses_before": tables.losses_in_standardisation(run),
        "attendance": list(tables.attendance(run)),
        "departures": list(tables.departures(run)),
        "claims": tables.all_claims(run),
        "roles": roles,
        "costs": costs,
        "cost_sums": tables.sums_of_costs(run, costs),
        "learning": charts.learning(run),
        "exactness_chart": charts.exactness(run),
        "costs_charts": charts.costs_chart(costs, roles),
    }


def _environment() -> Environment:
    environment = Environment(autoescape=True, finalize=_printable, undefined=StrictUndefined)
    environment.filters |= {
        "percent": formats.percent,
        "decimals": formats.decimals,
        "power": formats.power,
        "counted": formats.counted,
        "bytes_text": formats.bytes_text,
        "seconds_text": formats.seconds_text,
        "name_of": name_of,
    }
    return environment


def _printable(value: Any) -> Any:
    return formats.printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
