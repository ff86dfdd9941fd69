"""The page's charts. Legends stand in the page, beside the charts that share them."""

from collections.abc import Callable, Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from secagg.fedavg.formats import TIMES, bytes_text, power, seconds_text
from secagg.fedavg.history import ALONE, CENTRALIZED, Metrics, RoundRecord, Run
from secagg.fedavg.page.svg import Ink, inline
from secagg.fedavg.tables import Cost, overall

Reading = Callable[[Metrics], float | None]
"""Takes one figure out of a model's metrics; None where it is not defined."""

_NAN = float("nan")
_SECURE, _BENEATH, _REFERENCE = 1.8, 5.5, 1.2  # line widths, points


def learning(run: Run) -> tuple[Markup, Markup, Markup]:
    """Log loss, accuracy and AUC over the rounds, in this order."""
    return (
        _curve(run, "log loss (nats)", lambda metrics: metrics.log_loss),
        _curve(run, "accuracy (%)", lambda metrics: 100 * metrics.accuracy),
        _curve(run, "AUC", lambda metrics: metrics.auc),
    )


def _curve(run: Run, name: str, reading: Reading) -> Markup:
    figure, axes = _panel(4.7, 3.3)
    numbers = [record.number for record in run.rounds]
    _void_rounds(axes, run.rounds)
    _reference(axes, reading(overall(run, CENTRALIZED)), Ink.CENTRALIZED, (0, (6, 2)))
    _reference(axes, reading(overall(run, ALONE)), Ink.ALONE, (0, (1.2, 1.8)))
    plain = [_or_nan(reading(record.plain)) for record in run.rounds]
    secure = [_or_nan(reading(record.secure)) for record in run.rounds]
    # The two lie on each other: the plain curve is drawn broad beneath the secure one, so that both show.
    axes.plot(numbers, plain, color=Ink.PLAIN.value, linewidth=_BENEATH, solid_capstyle="round", marker=_dots(numbers))
    axes.plot(numbers, secure, color=Ink.SECURE.value, linewidth=_SECURE, marker=_dots(numbers))
    _round_axis(axes, numbers)
    axes.set_title(name, loc="left", fontsize=12, color=Ink.TEXT.value, pad=9)
    return inline(figure, f"{name} after each round: secure and plain FedAvg, centralized and alone")


def _dots(numbers: Sequence[int]) -> str:
    """A single round makes no line."""
    return "o" if len(numbers) == 1 else ""


def _reference(axes: Axes, value: float | None, ink: Ink, dashes: tuple[float, tuple[float, ...]]) -> None:
    if value is not None:
        axes.axhline(value, color=ink.value, linewidth=_REFERENCE + 0.4, linestyle=dashes)


def exactness(run: Run) -> Markup:
    """Largest gap between secure and plain mean of each round, beneath the bound that it may not pass."""
    figure, axes = _panel(15, 3.4)
    summed = [record for record in run.rounds if record.gap is not None and record.bound is not None]
    numbers = [record.number for record in summed]
    # A logarithmic axis has no zero: gaps of zero stand at its foot.
    bounds, gaps = [record.bound or _NAN for record in summed], [record.gap or _NAN for record in summed]
    axes.set_yscale("log")
    _void_rounds(axes, run.rounds)
    axes.plot(numbers, bounds, color=Ink.MUTED.value, marker="_", markeredgewidth=1.8, markersize=14, linestyle="none")
    axes.plot(numbers, gaps, color=Ink.SECURE.value, marker="o", markersize=5.5, linestyle="none")
    axes.margins(y=0.12)
    _at_the_foot(axes, [record.number for record in summed if record.gap == 0])
    _round_axis(axes, [record.number for record in run.rounds])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=9))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: power(value).removeprefix(f"1.0{TIMES}")))
    axes.yaxis.set_minor_locator(LogLocator(subs=()))
    axes.set_title("largest difference of one model parameter", loc="left", fontsize=12, color=Ink.TEXT.value, pad=9)
    return inline(figure, "Largest gap between the secure and the plain mean in each round, and its bound")


def _at_the_foot(axes: Axes, numbers: Sequence[int]) -> None:
    axes.plot(
        numbers,
        [0.03] * len(numbers),
        transform=axes.get_xaxis_transform(),
        color=Ink.SECURE.value,
        marker="v",
        markersize=6,
        linestyle="none",
    )


def costs_chart(costs: Sequence[Cost], roles: Sequence[str]) -> tuple[Markup, Markup]:
    """Bytes and seconds of a typical round as bars, by phase and role."""
    sent = [[cost.roles[role].bytes for cost in costs] for role in roles]
    computed = [[cost.roles[role].seconds for cost in costs] for role in roles]
    phases = [cost.phase for cost in costs]
    return (
        _bars(phases, roles, sent, "bytes sent in a typical round", bytes_text),
        _bars(phases, roles, computed, "time computing in a typical round", seconds_text),
    )


def _bars(
    phases: Sequence[str],
    roles: Sequence[str],
    values: Sequence[Sequence[float]],
    title: str,
    text: Callable[[float], str],
) -> Markup:
    figure, axes = _panel(6.9, 0.9 + 0.62 * len(phases) * max(1, len(roles)) / 2)
    thick = 0.74 / max(1, len(roles))
    most = max((value for row in values for value in row), default=0) or 1
    for nth, (role, row) in enumerate(zip(roles, values, strict=True)):
        at = [place + (nth - (len(roles) - 1) / 2) * thick for place in range(len(phases))]
        ink = Ink.CLIENT if role == "client" else Ink.SERVER
        axes.barh(at, row, height=thick * 0.86, color=ink.value)
        for y, value in zip(at, row, strict=True):
            axes.text(value + most * 0.012, y, text(value), va="center", fontsize=11, color=Ink.MUTED.value)
    _phase_axis(axes, phases)
    axes.set_xlim(0, most * 1.2)
    axes.set_title(title, loc="left", fontsize=12, color=Ink.TEXT.value, pad=8)
    return inline(figure, f"{title}, by phase and role")


def _phase_axis(axes: Axes, phases: Sequence[str]) -> None:
    """Phases from above to below; bars say their lengths themselves."""
    axes.set_yticks(range(len(phases)), phases, parse_math=False)
    axes.set_ylim(len(phases) - 0.5, -0.5)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.tick_params(axis="y", labelcolor=Ink.TEXT.value, labelsize=12)
    axes.spines["bottom"].set_visible(False)
    axes.spines["left"].set_visible(True)


def _panel(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.tick_params(colors=Ink.GRID.value, labelcolor=Ink.MUTED.value, labelsize=11, length=0, pad=6)
    axes.grid(visible=True, axis="y", color=Ink.GRID.value, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(Ink.GRID.value)
    return figure, axes


def _round_axis(axes: Axes, numbers: Sequence[int]) -> None:
    axes.set_xlabel("round", fontsize=11, color=Ink.MUTED.value)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    if numbers:
        axes.set_xlim(numbers[0] - 0.5, numbers[-1] + 0.5)


def _void_rounds(axes: Axes, rounds: Sequence[RoundRecord]) -> None:
    for record in rounds:
        if record.sum.too_few is not None:
            axes.axvspan(record.number - 0.5, record.number + 0.5, color=Ink.VOID.value, linewidth=0)


def _or_nan(value: float | None) -> float:
    return _NAN if value is None else value
