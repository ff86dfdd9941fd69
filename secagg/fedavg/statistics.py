"""Federated mean and variance of every feature, through secure sums only.

Features differ in range by 10^5 and more, so each needs its own clip, and no hospital may show its maximum.
Four sums settle both:

1. *ranges* (integers): each hospital marks, per feature, the bucket ceil(log2 max|x|). The sum is a histogram
   of hospitals over buckets; its highest bucket gives a clip that is a power of two.
2. *means*: sums of values and counts of present values, both divided by the hospital's patients so that the
   engine's weighted mean (weight = patients, hidden in the sum) puts them together. Their ratio is a shift
   near the mean. A shift need not be exact, so who is lost here does not matter below.
3. *spreads* (integers): the histogram of max|x - shift|, for the clips of the last sum.
4. *squares*: sums of x - shift and of its square, and counts again. With d and s their ratios to the
   counts, mean = shift + d and variance = s - d^2 (shifted data, Chan, Golub, LeVeque 1983): those of the
   patients of this sum's contributors, up to the bound that comes with them.

Beyond mean, variance and counts, the server learns the two histograms of powers of two.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.api import Aggregate
from secagg.encoding.clips import CLIP_LIMIT
from secagg.errors import InputError, TooFew
from secagg.fedavg.history import StatisticsRecord
from secagg.fedavg.preparation import Array, Standardisation
from secagg.fedavg.secure import Sums, check_counts, ignore
from secagg.scheme import Policy

BITS = 32
"""Bits per quantized entry of means and squares."""
ANY_CLIP = Policy(clip=(1 / CLIP_LIMIT, CLIP_LIMIT))
"""Clips here are powers of two that a sum of counts found, the same for all; no server names them."""

LOWEST, HIGHEST = -128, 127
"""Exponents of the buckets: 2^LOWEST stands for all smaller magnitudes too; above 2^HIGHEST is refused."""

ATTEMPTS = 5
"""Tries of one sum before its TooFew stands."""


def federated(
    values: Mapping[str, Array],
    features: tuple[str, ...],
    sums: Sums,
    rng: np.random.Generator,
    on_record: Callable[[StatisticsRecord], None] = ignore,
) -> Standardisation:
    """Mean and variance over the patients of those who answered the last sum.

    Args:
        values: {hospital: (n, d) float64, NaN is missing}, three hospitals or more.
        features: the d names, for messages.
        sums: adds them up.
        rng: of the dropout schedule.
        on_record: told of every sum, the void ones included.

    Raises:
        TooFew: one sum was void `ATTEMPTS` times; names it and what to change.
        BadWeight: a hospital has more or fewer patients than `sums.weights`.
        InputError: a magnitude beyond 2^127; names hospital and feature.
    """
    counts = {name: len(x) for name, x in values.items()}
    check_counts(counts, sums.weights)
    tries = _Tries(counts, sums, rng, on_record)
    clip = np.exp2(_exponents(tries, "ranges", values, features))
    shift = _shift(tries, values, clip)
    centred = {name: x - shift for name, x in values.items()}
    spread = _exponents(tries, "spreads", centred, features)
    return _moments(tries, centred, shift, np.exp2(spread))


@dataclass(frozen=True)
class _Tries:
    """Runs the secure sums, each again after TooFew."""

    patients: Mapping[str, int]
    sums: Sums
    rng: np.random.Generator
    on_record: Callable[[StatisticsRecord], None]

    def counts(self, name: str, marks: Mapping[str, NDArray[np.uint8]]) -> Aggregate:
        """Sum zeros and ones as they are."""
        return self._run(name, marks, bits=1)

    def means(self, name: str, updates: Mapping[str, dict[str, Array]], clip: dict[str, Array]) -> Aggregate:
        """Mean per patient."""
        return self._run(name, updates, counts=self.patients, bits=BITS, clip=clip, policy=ANY_CLIP)

    def _run(self, name: str, updates: Mapping[str, Any], **options: Any) -> Aggregate:
        for attempt in range(1, ATTEMPTS + 1):
            start = time.perf_counter()
            out, record = self.sums.add(updates, self.rng, **options)
            self.on_record(StatisticsRecord(name, attempt, record, time.perf_counter() - start))
            if isinstance(out, Aggregate):
                return out
        assert isinstance(out, TooFew)
        raise _given_up(name, out)


def _given_up(name: str, last: TooFew) -> TooFew:
    """The last attempt's error, with the sum that failed and what to change."""
    error = TooFew(last.phase, last.answered, last.needed)
    error.culprits = last.culprits
    why = (
        f"standardisation: the sum {name!r} failed {ATTEMPTS} times, at last in {last}; lower dropout or the "
        "threshold, or take more hospitals"
    )
    error.args = (why,)
    return error


def _exponents(tries: _Tries, name: str, values: Mapping[str, Array], features: tuple[str, ...]) -> Array:
    """(d,) least exponents e with |x| <= 2^e at all contributors; LOWEST for features without a magnitude."""
    marks = {party: magnitude_buckets(x, features, party) for party, x in values.items()}
    histogram = np.asarray(tries.counts(name, marks).sum)
    buckets = np.arange(LOWEST, HIGHEST + 1, dtype=np.float64)
    return np.asarray(np.where(histogram > 0, buckets, LOWEST).max(axis=1), dtype=np.float64)


def magnitude_buckets(x: Array, features: tuple[str, ...], party: str) -> NDArray[np.uint8]:
    """Mark the bucket of each feature's largest magnitude.

    Args:
        x: (n, d) float64, NaN is missing.
        features: the d names.
        party: whose patients these are.

    Returns:
        (d, HIGHEST - LOWEST + 1) of 0 and 1: one 1 a row, in the column of ceil(log2 max|x|), or none
        where all is zero or missing.

    Raises:
        InputError: a magnitude beyond 2^HIGHEST; names party and feature.
    """
    greatest = np.where(np.isnan(x), 0.0, np.abs(x)).max(axis=0)
    mantissa, exponent = np.frexp(greatest)  # greatest = mantissa * 2^exponent, mantissa in [1/2, 1)
    exponent = np.maximum(np.where(mantissa == 0.5, exponent - 1, exponent), LOWEST)
    if (exponent > HIGHEST).any():
        worst = int(np.argmax(exponent))
        raise InputError(
            f"feature {features[worst]!r}: magnitude {greatest[worst]:.3g}, expected at most 2^{HIGHEST}",
            party,
        )
    marks = np.zeros((x.shape[1], HIGHEST - LOWEST + 1), dtype=np.uint8)
    some = np.flatnonzero(greatest > 0)
    marks[some, exponent[some] - LOWEST] = 1
    return marks


def _per_patient(x: Array) -> Array:
    """(d,) sums over the present values, divided by all patients."""
    return np.asarray(np.where(np.isnan(x), 0.0, x).sum(axis=0) / len(x))


def _present(x: Array) -> Array:
    return np.asarray((~np.isnan(x)).mean(axis=0))


def _shift(tries: _Tries, values: Mapping[str, Array], clip: Array) -> Array:
    """(d,) means over the present values, within their bounds; 0 where no value is present."""
    updates = {party: {"value": _per_patient(x), "present": _present(x)} for party, x in values.items()}
    out = tries.means("means", updates, {"value": clip, "present": np.ones_like(clip)})
    shift, _ = _ratio(out, "value")
    return shift


def _moments(tries: _Tries, centred: Mapping[str, Array], shift: Array, clip: Array) -> Standardisation:
    updates = {
        party: {"value": _per_patient(x), "square": _per_patient(x * x), "present": _present(x)}
        for party, x in centred.items()
    }
    out = tries.means("squares", updates, {"value": clip, "square": clip * clip, "present": np.ones_like(clip)})
    offset, offset_bound = _ratio(out, "value")
    square, square_bound = _ratio(out, "square")
    mean = shift + offset
    variance = square - offset * offset
    variance_bound = square_bound + 2 * np.abs(offset) * offset_bound + offset_bound**2
    return Standardisation(
        mean=mean,
        variance=np.maximum(variance, 0.0),
        mean_bound=offset_bound + np.spacing(np.abs(mean)),
        variance_bound=variance_bound,
        constant=variance <= variance_bound,
    )


def _ratio(out: Aggregate, key: str) -> tuple[Array, Array]:
    """(d,) sums over counts, and the largest possible error of each; both 0 where no value is present.

    With |A - a| <= e_a and |F - f| <= e_f, |A/F - a/f| <= (e_a + |A/F| e_f) / (F - e_f).
    """
    value, present = np.asarray(out.mean[key]), np.asarray(out.mean["present"])
    value_bound, present_bound = _bound(out, key, value), _bound(out, "present", present)
    some = present > present_bound
    ratio = np.where(some, value / np.where(some, present, 1.0), 0.0)
    error = (value_bound + np.abs(ratio) * present_bound) / np.where(some, present - present_bound, 1.0)
    return ratio, np.where(some, error, 0.0)


def _bound(out: Aggregate, key: str, like: Array) -> Array:
    """The error bound of one part: of its structure, or one number for all."""
    bound = out.error_bound
    return np.broadcast_to(bound[key] if isinstance(bound, Mapping) else bound, like.shape)
