"""Figures as SVG, each from the rows of a suite."""

import io
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from bench.parts import PARTS, REST
from bench.report.fits import AXES, CURVES, Axis, curve
from bench.results import Results, Row

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#777777"
"""Okabe and Ito's palette, which the colour-blind can tell apart."""
STYLE: Any = {
    "svg.hashsalt": "secagg",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
}
_PART_COLOURS = (
    *("#0072B2", "#D55E00", "#F0E442", "#E69F00", "#CC79A7", "#56B4E9", "#9467BD"),
    *("#009E73", "#8C564B", "#444444", "#BCBD22", "#17BECF", "#AA3377", "#DDDDDD"),
)


def all_of(found: Mapping[str, Results]) -> dict[str, str]:
    """{name: SVG} of all figures that the results allow."""
    makers: tuple[tuple[str, str, Callable[[Results], Figure]], ...] = (
        ("masks", "kernels", masks),
        ("roofline", "kernels", roofline),
        ("growth", "rounds", growth),
        ("parts", "rounds", parts),
        ("peers", "peers", peers),
    )
    with mpl.rc_context(STYLE):
        return {name: _svg(make(found[suite])) for name, suite, make in makers if suite in found}


def masks(results: Results) -> Figure:
    """Rate of each path by lane on one core, and of generators alone."""
    figure = Figure((7.2, 2.8), layout="constrained")
    axes = figure.add_subplot()
    lanes = ("uint16", "uint32", "uint64")
    paths = list(dict.fromkeys(str(row.case["path"]) for row in results.all("add_masks")))
    for place, lane in enumerate(lanes):
        rows = [results.one("add_masks", path=path, lane=lane, threads=1) for path in paths]
        rates = [0.0 if row is None else row.rate / 1e9 for row in rows]
        x = [number + (place - 1) * 0.26 for number in range(len(paths))]
        axes.bar(x, rates, 0.24, label=lane, color=(BLUE, GREEN, ORANGE)[place])
    for row, style in zip(results.all("target: keystream"), ("-", "--", ":"), strict=False):
        axes.axhline(row.rate / 1e9, color=GREY, linestyle=style, linewidth=1, label=f"{row.case['by']} alone")
    axes.set_xticks(range(len(paths)), paths)
    axes.set_ylabel("keystream made and added, GB/s")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def roofline(results: Results) -> Figure:
    """Rate against masks a pass: below few masks memory is the limit, above them the AES units."""
    figure = Figure((7.2, 2.9), layout="constrained")
    axes = figure.add_subplot()
    for threads, colour in ((1, BLUE), (2, ORANGE)):
        rows = results.all("add_masks by keys", threads=threads)
        label = f"measured, {_counted(threads, 'thread')}"
        axes.plot([row.case["keys"] for row in rows], [row.rate / 1e9 for row in rows], "o-", color=colour, label=label)
    _limits(axes, results)
    axes.set(xscale="log", yscale="log", xlabel="masks added in one pass over the vector", ylabel="keystream, GB/s")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _limits(axes: Axes, results: Results) -> None:
    memory, aes = results.one("limit", of="memory"), results.one("limit", of=results.machine.kernel)
    if memory is not None:
        # A pass reads and writes each entry once, however many masks are added to it.
        span = [1.0, 10.0]
        slope = [memory.rate / 2e9 * keys for keys in span]
        axes.plot(span, slope, color=GREY, linestyle=":", label="memory limit, 1 core")
    if aes is not None:
        for cores, style in ((1, "-"), (2, "--")):
            label = f"AES limit, {_counted(cores, 'core')}"
            axes.axhline(cores * aes.rate / 1e9, color=GREY, linestyle=style, linewidth=1, label=label)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number > 1 else "")


def growth(results: Results) -> Figure:
    """Processor time of server and client along each axis, with fitted power laws."""
    figure = Figure((9, 5.4), layout="constrained")
    grid = figure.subplots(2, 3)
    for axes, axis in zip(grid.flat, AXES, strict=False):
        _growth(axes, results, axis)
    key = grid.flat[len(AXES)]
    handles, labels = grid.flat[0].get_legend_handles_labels()
    key.axis("off")
    key.legend(handles, labels, loc="center", title="processor time; lines: fitted power laws", fontsize=9)
    return figure


def _growth(axes: Axes, results: Results, axis: Axis) -> None:
    for (name, label), colour, mark in zip(CURVES, (BLUE, ORANGE, GREEN), "os^", strict=True):
        found = curve(results, axis, name)
        if found is None:
            continue
        axes.plot(found.x, found.y, mark, color=colour, label=label, markersize=5)
        fitted = [found.factor * x**found.exponent for x in found.x]
        axes.plot(found.x, fitted, color=colour, linewidth=1)
        axes.annotate(
            f"{found.exponent:.2f}", (found.x[-1], fitted[-1]), (4, 0), textcoords="offset points", color=colour
        )
    axes.set(xscale="log", yscale="log", xlabel=axis.label, ylabel="seconds")
    points = sorted({float(row.case[axis.x]) for row in results.all(f"growth by {axis.name}")})
    axes.set_xticks(points, [f"2^{np.log2(x):.0f}" if axis.x == "dim" else f"{x:.0f}" for x in points])
    axes.minorticks_off()
    axes.margins(x=0.18)


def parts(results: Results) -> Figure:
    """Where the time of the largest rounds goes: one bar a phase and role."""
    cases = list(dict.fromkeys((row.case["protocol"], row.case["clients"]) for row in results.all("part")))
    figure = Figure((9, 1.0 + 1.9 * max(1, len(cases))), layout="constrained")
    for place, (protocol, clients) in enumerate(cases):
        axes = figure.add_subplot(len(cases), 1, place + 1)
        rows = results.all("part", protocol=protocol, clients=clients)
        _parts(axes, rows)
        case = rows[0].case
        axes.set_title(
            f"{protocol}, n = {clients}, k = {case['neighbours']}, dim {case['dim']}, {case['lost']} lost", fontsize=9
        )
        if place == 0:
            axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    return figure


def _parts(axes: Axes, rows: list[Row]) -> None:
    bars = [(phase, role) for phase in ("shares", "masked", "unmask") for role in ("client", "server")]
    left = [0.0] * len(bars)
    for part, colour in zip((*PARTS, REST), _PART_COLOURS, strict=True):
        shares = []
        for phase, role in bars:
            chosen = [row for row in rows if row.case["phase"] == phase and row.case["role"] == role]
            total = sum(row.seconds for row in chosen) or 1.0
            shares.append(100 * sum(row.seconds for row in chosen if row.case["part"] == part) / total)
        axes.barh(range(len(bars)), shares, 0.8, left, label=part, color=colour)
        left = [before + share for before, share in zip(left, shares, strict=True)]
    axes.set_yticks(range(len(bars)), [f"{phase}, {role}" for phase, role in bars])
    axes.invert_yaxis()
    axes.set_xlabel("% of the time that all parts take together")


def peers(results: Results) -> Figure:
    """Seconds of ours and of Flower's, client and server, by phase."""
    figure = Figure((7.2, 3), layout="constrained")
    axes = figure.add_subplot()
    bars = [(role, phase) for role in ("client", "server") for phase in ("keys", "shares", "masked", "unmask")]
    for by, shift, colour in (("secagg", -0.2, BLUE), ("Flower", 0.2, ORANGE)):
        rows = [results.one("peer", by=by, role=role, phase=phase) for role, phase in bars]
        heights = [0.0 if row is None else row.seconds for row in rows]
        axes.bar([place + shift for place in range(len(bars))], heights, 0.38, label=by, color=colour)
    axes.set(yscale="log", ylabel="seconds, log scale")
    axes.set_xticks(range(len(bars)), [f"{role}\n{phase}" for role, phase in bars])
    axes.legend()
    return figure


def _svg(figure: Figure) -> str:
    """The same figure gives the same text: no date, no random ids, no trailing blanks."""
    out = io.StringIO()
    FigureCanvasSVG(figure)
    figure.savefig(out, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
