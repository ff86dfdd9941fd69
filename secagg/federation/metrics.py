"""Metrics beside the arrays of an update: a party that has no number for one leaves that one out, and is counted.

AUC of a site with one class is NaN: neither its update nor the others' metric is lost for it.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from secagg.api import Aggregate
from secagg.encoding.layout import Update

METRICS, REPORTING = "metrics", "reporting"


def chosen(metrics: Mapping[str, Any], names: Collection[str]) -> dict[str, float | None]:
    """The metrics that join the sum; None for one that is missing or no finite number."""
    return {name: _finite(metrics.get(name)) for name in names}


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return None
    return float(value) if np.isfinite(value) else None


def with_metrics(arrays: Update, metrics: Mapping[str, float | None]) -> Update:
    """The update: with each metric, for what share of the party's weight it stands (0 or 1), and of how many parties.

    The share is quantized like all floats, and the mean of the metric over those who report it is a quotient of two
    sums. An exact sum of the weights of those who report would tell who they are.
    """
    reporting = {
        name: {"share": float(value is not None), "parties": int(value is not None)} for name, value in metrics.items()
    }
    return {"arrays": arrays, METRICS: {name: value or 0.0 for name, value in metrics.items()}, REPORTING: reporting}


def clips_with_metrics(arrays: Update, clips: Mapping[str, float]) -> Update:
    """The clip of every leaf of `with_metrics`."""
    return {"arrays": arrays, METRICS: dict(clips), REPORTING: {name: {"share": 1.0, "parties": 1.0} for name in clips}}


def reporting(result: Aggregate) -> dict[str, int]:
    """{metric: how many of the contributors have one}."""
    return {name: int(each["parties"]) for name, each in result.sum[REPORTING].items()}


def settled(result: Aggregate, clips: Mapping[str, float]) -> Aggregate:
    """`result` with `mean` and `error_bound` as {"arrays": ..., "metrics": ...}.

    Of each metric the mean over those who have one; without those that nobody has.
    """
    arrays, values, bounds = result.mean["arrays"], {}, {}
    for name, parties in reporting(result).items():
        share = 1.0 if parties == _given(result) else float(result.mean[REPORTING][name]["share"])
        if parties and share > 0:
            of_value, of_share = _bound(result, METRICS, name), _bound(result, REPORTING, name, "share")
            values[name] = result.mean[METRICS][name] / share
            # m = v / s, so an error of v and one of s move m by (dv - m ds) / s, and m lies within its clip.
            bounds[name] = of_value if share == 1.0 else (of_value + clips[name] * of_share) / share
    of_arrays = {name: _bound(result, "arrays", name) for name in arrays}
    mean, error_bound = {"arrays": arrays, METRICS: values}, {"arrays": of_arrays, METRICS: bounds}
    return replace(result, mean=mean, error_bound=error_bound)


def _given(result: Aggregate) -> int:
    return len(result.contributors) - result.abstained


def _bound(result: Aggregate, *place: str) -> Any:
    """The error bound of one leaf: that of all, where it is one number."""
    bound = result.error_bound
    for name in place:
        bound = bound[name] if isinstance(bound, Mapping) else bound
    return bound
