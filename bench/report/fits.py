"""How cost grows: a power law through measured points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.replay import CIPHERTEXTS
from bench.results import Results


@dataclass(frozen=True)
class Axis:
    """One curve.

    Attributes:
        name: as the rounds suite calls it.
        x: the case's entry that grows.
        label: for people, with what is fixed.
    """

    name: str
    x: str
    label: str


AXES = (
    Axis("clients, SecAgg", "clients", "clients n, complete graph"),
    Axis("clients, SecAgg+", "clients", "clients n, k fixed"),
    Axis("entries", "dim", "entries of an update"),
    Axis("neighbours", "neighbours", "neighbours k"),
    Axis("losses", "lost", "clients lost"),
)
CIPHERTEXT_AXES = tuple(
    Axis(f"{what}, {family}", x, f"{label}, {family}")
    for family in CIPHERTEXTS.values()
    for what, x, label in (
        ("clients", "clients", "clients n"),
        ("entries", "dim", "entries of an update"),
        ("losses", "lost", "clients lost"),
    )
)
Curves = tuple[tuple[str, str], ...]
"""(figure, name). Of the server its processor time, which other programs lengthen little."""
CURVES: Curves = (
    ("server cpu", "server, all phases"),
    ("server cpu unmask", "server, unmask"),
    ("client", "one client, all phases"),
)
CIPHERTEXT_CURVES: Curves = (
    ("server cpu", "server, all phases"),
    ("holder", "key holder, dealing and opening"),
    ("client", "one client, all other phases"),
)


@dataclass(frozen=True)
class Curve:
    """Points and the power law through them.

    Attributes:
        x, y: ascending in x; y in seconds.
        exponent: slope in log-log, by least squares over all points.
        last: slope between the last two points, where fixed costs weigh least.
        factor: y = factor * x ** exponent.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    exponent: float
    last: float
    factor: float


def curve(results: Results, axis: Axis, figure: str) -> Curve | None:
    """The curve of one figure along an axis; None for fewer than two points."""
    rows = sorted(results.all(f"growth by {axis.name}"), key=lambda row: float(row.case[axis.x]))
    points = [(float(row.case[axis.x]), row.figures[figure]) for row in rows]
    if len(points) < 2:
        return None
    x, y = (tuple(values) for values in zip(*points, strict=True))
    slope, level = np.polyfit(np.log(x), np.log(y), 1).tolist()
    return Curve(x, y, slope, _slope(x[-2:], y[-2:]), float(np.exp(level)))


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    return float(np.log(y[1] / y[0]) / np.log(x[1] / x[0]))
