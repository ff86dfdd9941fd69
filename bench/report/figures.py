"""Figures as SVG, each from the rows of a suite."""

import io
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from bench.parts import PARTS, REST
from bench.report.fits import AXES, CIPHERTEXT_AXES, CIPHERTEXT_CURVES, CURVES, Axis, Curves, curve
from bench.report.page import PHASES, ROLES
from bench.results import Results, Row, title_of

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
    *("#009E73", "#8C564B", "#444444", "#BCBD22", "#E377C2", "#1F3B73", "#B2DF8A", "#FB9A99"),
    *("#7F7F7F", "#3D0C4F", "#6A9A3B", "#C49C94", "#F7B6D2", "#17BECF", "#AA3377", "#DDDDDD"),
)
_WORTH = 0.05
"""Of a role's round: a phase below it gets no bar."""


def all_of(found: Mapping[str, Results]) -> dict[str, str]:
    """{name: SVG} of all figures that the results allow."""
    makers: tuple[tuple[str, str, Callable[[Results], Figure | None]], ...] = (
        ("masks", "kernels", masks),
        ("roofline", "kernels", roofline),
        ("growth", "rounds", growth),
        ("growth-ciphertexts", "rounds", growth_of_ciphertexts),
        ("parts", "rounds", parts),
        ("peers", "peers", peers),
    )
    with mpl.rc_context(STYLE):
        made = {name: make(found[suite]) for name, suite, make in makers if suite in found}
        return {name: _svg(figure) for name, figure in made.items() if figure is not None}


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
    return _grid(results, AXES, CURVES)


def growth_of_ciphertexts(results: Results) -> Figure | None:
    """The same of Paillier and CKKS; None where older results lack them."""
    measured = any(results.all(f"growth by {axis.name}") for axis in CIPHERTEXT_AXES)
    return _grid(results, CIPHERTEXT_AXES, CIPHERTEXT_CURVES) if measured else None


def _grid(results: Results, all_axes: Sequence[Axis], curves: Curves) -> Figure:
    figure = Figure((9, 5.4), layout="constrained")
    grid = figure.subplots(2, 3)
    for axes, axis in zip(grid.flat, all_axes, strict=False):
        _growth(axes, results, axis, curves)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    key = {"title": "processor time; lines: fitted power laws", "fontsize": 9}
    if len(all_axes) < grid.size:
        grid.flat[-1].axis("off")
        grid.flat[-1].legend(handles, labels, loc="center", **key)
    else:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(curves), **key)
    return figure


def _growth(axes: Axes, results: Results, axis: Axis, curves: Curves) -> None:
    for (name, label), colour, mark in zip(curves, (BLUE, ORANGE, GREEN), "os^", strict=True):
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
    rows = results.all("part")
    titles = list(dict.fromkeys(title_of(row.case) for row in rows))
    figure = Figure((9, 1.0 + 1.9 * max(1, len(titles))), layout="constrained")
    keys: dict[str, Any] = {}
    for place, title in enumerate(titles):
        axes = figure.add_subplot(len(titles), 1, place + 1)
        _parts(axes, [row for row in rows if title_of(row.case) == title])
        axes.set_title(title, fontsize=9)
        keys |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(keys.values(), keys.keys(), loc="outside right center", fontsize=8)
    return figure


def _parts(axes: Axes, rows: list[Row]) -> None:
    spent: defaultdict[tuple[str, str], defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        spent[str(row.case["phase"]), str(row.case["role"])][str(row.case["part"])] += row.seconds
    totals = {bar: sum(parts.values()) for bar, parts in spent.items()}
    whole = {role: sum(total for (_, of), total in totals.items() if of == role) for role in ROLES}
    found = ((phase, role) for phase in PHASES for role in ROLES)
    bars = [bar for bar in found if totals.get(bar, 0.0) > _WORTH * whole[bar[1]]]
    left = [0.0] * len(bars)
    for part, colour in zip((*PARTS, REST), _PART_COLOURS, strict=True):
        shares = [100 * spent[bar][part] / totals[bar] for bar in bars]
        if not any(shares):
            continue
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
