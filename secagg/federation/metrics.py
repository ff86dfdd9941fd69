"""Metrics beside the arrays of an update: means over the parties that have a number, each counting alike.

AUC of a site with one class is NaN: neither its update nor the others' metric is lost for it. It gives no number then,
and the sum says how many do. By weight the sum would have to say what they weigh together, and so, to whoever knows
weights or can guess them, which of them lacks a class.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.encoding.layout import Update
from secagg.encoding.quantize import Quantizer
from secagg.primitives.entropy import Entropy, draw

ARRAYS, METRICS, REPORTING = "arrays", "metrics", "reporting"


def blank_metrics(names: Collection[str]) -> dict[str, Update]:
    """What stands beside the arrays: of each metric a number, and how many have one. Integers, so never weighted."""
    return {METRICS: dict.fromkeys(names, 0), REPORTING: dict.fromkeys(names, 0)}


def given_metrics(
    values: Mapping[str, Any], clips: Mapping[str, float], bits: int, noise: Entropy
) -> dict[str, Update]:
    """The same of one party; zeros for a metric that is missing, or no finite number.

    Rounded stochastically: nearest, a clip of many times the value would ask whether it is above half a step.
    """
    found = {name: _finite(values.get(name)) for name in clips}
    steps = {name: 0 if value is None else _steps(value, clips[name], bits, noise) for name, value in found.items()}
    return {METRICS: steps, REPORTING: {name: int(value is not None) for name, value in found.items()}}


@dataclass(frozen=True)
class MeanMetric:
    """What a sum says of one metric.

    Attributes:
        parties: how many have a number for it, at least one.
        mean: over these, each clipped.
        bound: largest possible |mean - true mean of the clipped|.
        clipped: whether all of them lie at the clip.
    """

    parties: int
    mean: float
    bound: float
    clipped: bool


def read_metrics(summed: Mapping[str, Any], clips: Mapping[str, float], bits: int) -> dict[str, MeanMetric]:
    """Of the metrics that somebody has. `summed` is the sum's part beside the arrays."""
    return {
        name: _mean(int(summed[METRICS][name]), int(summed[REPORTING][name]), clip, bits)
        for name, clip in clips.items()
        if summed[REPORTING][name] > 0
    }


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return None
    return float(value) if np.isfinite(value) else None


def _steps(value: float, clip: float, bits: int, noise: Entropy) -> int:
    quantizer, up = Quantizer(bits), int.from_bytes(draw(noise, 4), "little") / 2**32
    exact = max(-1.0, min(1.0, value / clip)) * quantizer.levels
    return min(floor(exact + up), quantizer.levels) + quantizer.offset


def _mean(total: int, parties: int, clip: float, bits: int) -> MeanMetric:
    quantizer, edge = Quantizer(bits, "stochastic"), np.asarray(clip)
    steps = total - parties * quantizer.offset
    mean: NDArray[np.float64] = edge * (steps / (parties * quantizer.levels))
    return MeanMetric(parties, float(mean), float(quantizer.error(edge)), abs(steps) == parties * quantizer.levels)
