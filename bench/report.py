"""docs/benchmarks.md and its figures, drawn from the suites' JSON and from nothing else."""

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from jinja2 import PackageLoader
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from bench.cohorts import TABLES, Axis
from bench.results import Found, Results, Row, title_of
from bench.targets import PAGES, TARGETS, NotMeasured, Target
from secagg.errors import ConfigError

SUITES = ("kernels", "handlers", "rounds", "peers")
PHASES = ("keys", "deal", "shares", "masked", "encrypted", "unmask", "decrypt")
ROLES = ("client", "dealer", "holder", "server")
WORTH = 0.05
"""Of a role's whole round: a phase below it is not worth a row, or a bar."""
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#777777"
"""Of Okabe and Ito's palette, which the colour-blind can tell apart."""


def draw(found: Found, docs: Path) -> list[Path]:
    """Write the page under `docs`, and the figures to its folder "images"; the same results give the same files.

    Returns them. Raises ConfigError for no results at all; a suite that is missing is said to be.
    """
    if not found:
        raise ConfigError("no results to draw: run `make bench`, which writes them to bench/results")
    (docs / "images").mkdir(parents=True, exist_ok=True)
    texts = {docs / "benchmarks.md": text(found)}
    texts |= {docs / "images" / f"bench-{name}.svg": svg for name, svg in figures(found).items()}
    for path, content in texts.items():
        path.write_text(content, "utf-8")
    return list(texts)


def text(found: Found) -> str:
    """The whole page."""
    page = PAGES.overlay(loader=PackageLoader("bench", "")).get_template("page.md.jinja")
    return page.render(
        suites={name: found[name] for name in SUITES if name in found},
        missing=[name for name in SUITES if name not in found],
        machine=next(iter(found.values())).machine,
        targets=TARGETS.values(),
        judged=partial(_judged, found),
        growth={name: (TABLES.curves[name], _growth_rows(found, name)) for name in TABLES.growth},
        dominant=list(_dominant(found["rounds"])) if "rounds" in found else [],
        by_title=by_title,
        title_of=title_of,
        tables=TABLES,
    )


def _judged(found: Found, target: Target) -> str:
    """Two cells: what was measured, and whether it suffices."""
    try:
        measured, met = target.judge(found)
    except NotMeasured:
        return "not measured | "
    return f"{measured} | {'not on this machine' if met is None else 'yes' if met else '**no**'}"


def by_title(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """{cohort: its rows}."""
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[title_of(row.case)].append(row)
    return found


def _shares(rows: Iterable[Row]) -> dict[tuple[str, str], dict[str, float]]:
    """{(phase, role): {part: seconds, most first}} of one round's parts, without the phases that are not worth it."""
    spent: defaultdict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    whole: defaultdict[str, float] = defaultdict(float)
    for row in sorted(rows, key=lambda row: -row.seconds):
        phase, role, part = (str(row.case[name]) for name in ("phase", "role", "part"))
        spent[phase, role][part] = row.seconds
        whole[role] += row.seconds
    return {bar: parts for bar, parts in spent.items() if sum(parts.values()) >= WORTH * whole[bar[1]]}


def _dominant(results: Results) -> Iterator[tuple[object, ...]]:
    """A row of the table of each round, role and phase."""
    for title, rows in by_title(results.all("part")).items():
        shares = _shares(rows)
        for phase, role in sorted(shares, key=lambda bar: (ROLES.index(bar[1]), PHASES.index(bar[0]))):
            total = sum(shares[phase, role].values())
            largest = [(part, 100 * seconds / total) for part, seconds in shares[phase, role].items()]
            yield title, phase, role, total, largest[:3]


class Curve(NamedTuple):
    """Points, y in seconds, and y = factor * x**exponent, by least squares in log-log through all of them.

    `last` is the slope between the last two, where fixed costs weigh least.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    exponent: float
    last: float
    factor: float


def curve(results: Results, axis: Axis, figure: str) -> Curve:
    """The curve of one figure along an axis. Raises NotMeasured for fewer than two points."""
    points = sorted((float(row.case[axis.x]), row.figures[figure]) for row in results.all(f"growth by {axis.name}"))
    if len(points) < 2:
        raise NotMeasured(axis.name)
    x, y = zip(*points, strict=True)
    slope, level = np.polyfit(np.log(x), np.log(y), 1).tolist()
    return Curve(x, y, slope, float(np.log(y[-1] / y[-2]) / np.log(x[-1] / x[-2])), float(np.exp(level)))


def _growth_rows(found: Found, name: str) -> list[tuple[Axis, list[Curve]]]:
    """The curves along those of the axes that were measured."""
    rows = []
    for axis in TABLES.growth[name]:
        with suppress(KeyError, NotMeasured):
            rows.append((axis, [curve(found["rounds"], axis, figure) for figure, _ in TABLES.curves[name]]))
    return rows


def figures(found: Found) -> dict[str, str]:
    """{name: SVG} of all figures that the results allow: the same figure gives the same text."""
    of = {"masks": ("kernels", _masks), "roofline": ("kernels", _roofline), "parts": ("rounds", _parts)}
    of |= {"peers": ("peers", _peers)}
    with mpl.rc_context(fname=Path(__file__).with_name("style.mplstyle")):
        made = {name: draw(found[suite]) for name, (suite, draw) in of.items() if suite in found}
        for name, curves in TABLES.curves.items():
            rows = _growth_rows(found, name)
            made |= {name: _growth(rows, [label for _, label in curves])} if rows else {}
        return {name: _svg(figure) for name, figure in made.items()}


def _svg(figure: Figure) -> str:
    """No date, no random ids, no trailing blanks."""
    out = io.StringIO()
    FigureCanvasSVG(figure)
    with mpl.rc_context({"svg.hashsalt": "secagg"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _panel(height: float) -> tuple[Figure, Axes]:
    figure = Figure((7.2, height), layout="constrained")
    return figure, figure.add_subplot()


def _masks(results: Results) -> Figure:
    """Rate of each path by lane on one core, and of generators alone."""
    figure, axes = _panel(2.8)
    rows = results.all("add_masks", threads=1)
    paths = list(dict.fromkeys(str(row.case["path"]) for row in rows))
    for place, (lane, colour) in enumerate((("uint16", BLUE), ("uint32", GREEN), ("uint64", ORANGE))):
        rates = [row.rate / 1e9 for row in rows if row.case["lane"] == lane]
        axes.bar([x + (place - 1) * 0.26 for x in range(len(paths))], rates, 0.24, label=lane, color=colour)
    for row, style in zip(results.all("target: keystream"), ("-", "--", ":"), strict=False):
        _level(axes, row.rate, style, f"{row.case['by']} alone")
    axes.set_xticks(range(len(paths)), paths)
    axes.set_ylabel("keystream made and added, GB/s")
    return _legend_beside(figure, axes)


def _roofline(results: Results) -> Figure:
    """Rate against masks a pass: below few masks memory is the limit, above them the AES units."""
    figure, axes = _panel(2.9)
    for label, threads, colour in (("1 thread", 1, BLUE), ("2 threads", 2, ORANGE)):
        rows = results.all("add_masks by keys", threads=threads)
        x, y = [row.case["keys"] for row in rows], [row.rate / 1e9 for row in rows]
        axes.plot(x, y, "o-", color=colour, label=f"measured, {label}")
    for memory in results.all("limit", of="memory"):
        # A pass reads and writes each entry once, however many masks are added to it.
        slope = [memory.rate / 2e9 * keys for keys in (1.0, 10.0)]
        axes.plot([1.0, 10.0], slope, color=GREY, linestyle=":", label="memory limit, 1 core")
    for aes in results.all("limit", of=results.machine.kernel):
        _level(axes, aes.rate, "-", "AES limit, 1 core")
        _level(axes, 2 * aes.rate, "--", "AES limit, 2 cores")
    axes.set(xscale="log", yscale="log", xlabel="masks added in one pass over the vector", ylabel="keystream, GB/s")
    return _legend_beside(figure, axes)


def _level(axes: Axes, rate: float, style: str, label: str) -> None:
    axes.axhline(rate / 1e9, color=GREY, linestyle=style, linewidth=1, label=label)


def _legend_beside(figure: Figure, axes: Axes) -> Figure:
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _growth(rows: Sequence[tuple[Axis, list[Curve]]], labels: Sequence[str]) -> Figure:
    """Processor time along each axis, with fitted power laws."""
    figure = Figure((9, 5.4), layout="constrained")
    grid = figure.subplots(2, 3).flat
    for axes, (axis, curves) in zip(grid, rows, strict=False):
        for found, label, colour, mark in zip(curves, labels, (BLUE, ORANGE, GREEN), "os^", strict=True):
            axes.plot(found.x, found.y, mark, color=colour, label=label, markersize=5)
            fitted = [found.factor * x**found.exponent for x in found.x]
            axes.plot(found.x, fitted, color=colour, linewidth=1)
            end = (found.x[-1], fitted[-1])
            axes.annotate(f"{found.exponent:.2f}", end, (4, 0), textcoords="offset points", color=colour)
        axes.set(xscale="log", yscale="log", xlabel=axis.label, ylabel="seconds")
        points = curves[0].x
        axes.set_xticks(points, [f"2^{np.log2(x):.0f}" if axis.x == "dim" else f"{x:.0f}" for x in points])
        axes.minorticks_off()
        axes.margins(x=0.18)
    for axes in grid[len(rows) :]:
        axes.axis("off")
    full = len(rows) == len(grid)
    (figure if full else grid[-1]).legend(
        *grid[0].get_legend_handles_labels(),
        title="processor time; lines: fitted power laws",
        fontsize=9,
        loc="outside lower center" if full else "center",
        ncols=len(labels) if full else 1,
    )
    return figure


def _parts(results: Results) -> Figure:
    """Where the time of the largest rounds goes: one bar a phase and role."""
    titles = by_title(results.all("part"))
    figure = Figure((9, 1.0 + 1.9 * max(1, len(titles))), layout="constrained")
    keys: dict[str, Any] = {}
    for place, (title, rows) in enumerate(titles.items(), 1):
        axes, spent = figure.add_subplot(len(titles), 1, place), _shares(rows)
        bars = sorted(spent, key=lambda bar: (PHASES.index(bar[0]), ROLES.index(bar[1])))
        left = np.zeros(len(bars))
        for part, look in TABLES.parts.items():
            shares = np.array([100 * spent[bar].get(part, 0.0) / sum(spent[bar].values()) for bar in bars])
            if shares.any():
                keys[part] = axes.barh(range(len(bars)), shares, 0.8, left, label=part, color=look["colour"])
                left += shares
        axes.set_yticks(range(len(bars)), [f"{phase}, {role}" for phase, role in bars])
        axes.invert_yaxis()
        axes.set_xlabel("% of the time that all parts take together")
        axes.set_title(title, fontsize=9)
    figure.legend(keys.values(), keys.keys(), loc="outside right center", fontsize=8)
    return figure


def _peers(results: Results) -> Figure:
    """Seconds of ours and of Flower's, client and server, by phase."""
    figure, axes = _panel(3)
    for by, shift, colour in (("secagg", -0.2, BLUE), ("Flower", 0.2, ORANGE)):
        rows = results.all("peer", by=by, role="client") + results.all("peer", by=by, role="server")
        places = range(len(rows))
        axes.bar([x + shift for x in places], [row.seconds for row in rows], 0.38, label=by, color=colour)
        axes.set_xticks(places, [f"{row.case['role']}\n{row.case['phase']}" for row in rows])
    axes.set(yscale="log", ylabel="seconds, log scale")
    axes.legend()
    return figure
