"""How a round went, as a framework's user reads it."""

import logging
from collections.abc import Iterator, Mapping
from math import ceil, log2

import msgspec
import numpy as np

from secagg.api import Aggregate
from secagg.encoding.quantize import Quantizer
from secagg.errors import PartyId
from secagg.federation.metrics import ARRAYS, METRICS
from secagg.federation.round import Round
from secagg.federation.update import EncodingSpec

COARSE = 0.01
"""An error bound of more than this part of the clip is worth a warning."""
MAX_BITS = 32
"""Of a quantized entry."""
_METRIC = "metrics/"


class Outcome(msgspec.Struct, frozen=True):
    """How one round went.

    Attributes:
        contributors: parties in the sum, their ids as text.
        lost: {party: phase} of all who went silent; one that was lost at the last phase is in the sum.
        misbehaved: {party: why}.
        weight: sum of the contributors' weights, or their number.
        error_bound: {array or metric: largest possible |mean - true mean of the clipped values|}, in each array's
            units, before the mean is rounded to its array's dtype; metrics are named "metrics/" + name.
        saturated: entries of updates that were clipped, all contributors together.
        clipped_metrics: metrics whose mean lies at its clip, so that those of all who have one do.
        abstained: contributors without an update that can be summed; their own logs say why. In the mean they count as
            ones that did not move.
        reporting: {metric: how many contributors have a number for it}; its mean is over these.
        accused: {party: why} of those of whom others say so, who may lie; they stay in the sum.
        left_out: those that were sampled and had no keys ready: they were asked for some, for the next round. None in
            the run's last round, as far as the server knows it, which waits for the keys of all.
        failure: why there is no sum; then all but `lost` and `misbehaved` are empty.
    """

    contributors: frozenset[str] = frozenset()
    lost: dict[str, str] = {}
    misbehaved: dict[str, str] = {}
    weight: int = 0
    error_bound: dict[str, float] = {}
    saturated: int = 0
    abstained: int = 0
    reporting: dict[str, int] = {}
    clipped_metrics: frozenset[str] = frozenset()
    accused: dict[str, str] = {}
    left_out: frozenset[str] = frozenset()
    failure: str | None = None

    @classmethod
    def of(cls, current: Round) -> "Outcome":
        """Of a round that gave a sum of updates {"arrays": ..., "metrics": ...}."""
        result, metrics = current.result(), current.metrics()
        return cls(
            contributors=frozenset(map(str, result.contributors)),
            lost=_texts(result.lost),
            misbehaved=_texts(result.misbehaved),
            weight=result.weight,
            error_bound=bounds_of(result) | {f"{_METRIC}{name}": each.bound for name, each in metrics.items()},
            saturated=result.saturated,
            abstained=result.abstained,
            reporting=dict.fromkeys(result.sum[METRICS], 0) | {name: each.parties for name, each in metrics.items()},
            clipped_metrics=frozenset(name for name, each in metrics.items() if each.clipped),
            accused=_texts(result.accused),
            left_out=current.left_out,
        )

    @classmethod
    def failed(cls, why: str, current: Round | None = None) -> "Outcome":
        """Of a round without a sum, or of one that did not begin."""
        if current is None:
            return cls(failure=why)
        return cls(
            lost=_texts(current.coordinator.lost), misbehaved=_texts(current.coordinator.misbehaved), failure=why
        )

    def lines(self, number: int, party: str) -> Iterator[tuple[int, str]]:
        """(level, text) of what to log of round `number`, where `party` is what the framework calls one."""
        if self.failure is not None:
            yield logging.WARNING, f"round {number} skipped, the model stays: {self.failure}"
            return
        yield logging.INFO, f"sum of {len(self.contributors)} {party}s, {len(self.lost)} lost"
        for each, phase in self.lost.items():
            yield logging.WARNING, f"{party} {each} lost at {phase!r} {self.misbehaved.get(each, '')}"
        for each, why in self.accused.items():
            yield logging.WARNING, f"others accuse {party} {each}: {why}"
        if self.abstained:
            yield logging.WARNING, f"{self.abstained} {party}s abstained: what they had could not be summed"
        given = len(self.contributors) - self.abstained
        for metric, found in self.reporting.items():
            if found < given:
                yield logging.WARNING, f"metric {metric!r} is of {found} of {given} {party}s"
        if self.saturated:
            yield logging.WARNING, f"{self.saturated} entries of updates were clipped"
        for name in sorted(self.clipped_metrics):
            yield logging.WARNING, f"metric {name!r} lies at its clip: state a larger one"


def coarse(encoding: EncodingSpec, outcome: Outcome) -> str | None:
    """What to log of a round whose error bound is above `COARSE` of the clip; None where it is not."""
    weight_max, bits = encoding.weight_max, encoding.bits
    ratio = 1.0 if weight_max is None else weight_max * len(outcome.contributors) / outcome.weight
    bound = ratio * float(Quantizer(bits, encoding.rounding).error(np.ones(())))
    if bound <= COARSE:
        return None
    cause = "" if weight_max is None else f"weight_max is {ratio:.1f} times the mean weight: "
    advice = [] if weight_max is None else ["lower weight_max"]
    if bits < MAX_BITS:
        advice.append(f"raise bits to {min(MAX_BITS, bits + ceil(log2(bound / COARSE)))}")
    return f"{cause}the error bound is {bound:.1%} of the clip at {bits} bits; {' or '.join(advice)}"


def _texts(values: Mapping[PartyId, str]) -> dict[str, str]:
    return {str(party): text for party, text in values.items()}


def bounds_of(result: Aggregate) -> dict[str, float]:
    """{array: bound}, the largest over an array's entries."""
    bound, arrays = result.error_bound, result.mean[ARRAYS]
    if not isinstance(bound, Mapping):
        return dict.fromkeys(arrays, float(bound))
    return {name: float(np.max(bound[ARRAYS][name], initial=0.0)) for name in arrays}
