"""What is summed of a model: updates (new minus received arrays), named metrics, weights. Any framework's."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeAlias

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from secagg.arguments import checked
from secagg.encoding.layout import Layout, Update
from secagg.encoding.quantize import Rounding
from secagg.errors import BadDtype, BadWeight, ConfigError, OutOfRange, PartyId, ShapeMismatch
from secagg.federation.metrics import ARRAYS, blank_metrics
from secagg.scheme import Session

Arrays: TypeAlias = dict[str, NDArray[Any]]
Clip: TypeAlias = float | Mapping[str, Any]
"""Bound of the updates' entries: one number, or {array name: number or array} with a default under "*"."""

DEFAULT = "*"
_Metrics = Annotated[dict[str, float], Meta(title="a dict {name: clip}")]
COUNTED = 4095
"""By how much a counter may change in a round of 13 bits or more, unless its clip is named."""


@dataclass(frozen=True)
class Model:
    """What the parties of a round train.

    Attributes:
        arrays: by name.
        received: digest of all that reaches the code that trains them (`context.digest_of`), 32 bytes.
        counters: names of arrays that hold integers, or did so in earlier rounds: a mean of integers is a float.
            One of a single number (BatchNorm's) counts something; more numbers may as well be weights that start as
            zeros, so their clip has to be named.
    """

    arrays: Arrays
    received: bytes
    counters: frozenset[str] = frozenset()

    def after(self, counters: frozenset[str]) -> "Model":
        """The same, where arrays of these names held integers before."""
        return replace(self, counters=self.counters | counters | counters_of(self.arrays))


@dataclass(frozen=True)
class EncodingSpec:
    """How updates become ring vectors; see `Session.create`.

    Attributes:
        bits: of each quantized entry, 2..32.
        clip: bound of the updates' (not the weights') entries: one number or {array name: clip, "*": clip}. Larger
            entries are clipped and counted (`Outcome.saturated`). The clip of a single integer is 4095 or a fraction
            more (2**(bits-1) - 1 with fewer than 13 bits) unless it is named; that of arrays of integers has to be.
        weight_max: public bound of the weights (say, no hospital has more training examples), or None for an unweighted
            mean. Never the cohort's own maximum. The error bound grows with weight_max / mean weight.
        weight_min: public bound likewise; None for a hundredth of weight_max. What a party weighs beyond either counts
            as the bound.
        metrics: {name: clip} of the metrics to average inside the sum, over the parties that have a number for it
            (`Outcome.reporting`), each counting alike; others never leave the client.
        rounding: of each entry, "stochastic" (unbiased: small updates add up over clients and rounds) or, without
            weights, "nearest" (half the error bound, but what is less than half a step vanishes in every round).

    Raises OutOfRange or ConfigError for numbers that no model can use.
    """

    bits: int
    clip: Clip
    weight_max: int | None
    metrics: Mapping[str, float]
    rounding: Rounding
    weight_min: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", checked("metrics", self.metrics, _Metrics, ConfigError))
        if isinstance(self.clip, Mapping):
            object.__setattr__(self, "clip", {checked("clip: name", name, str): x for name, x in self.clip.items()})
        clips = [*(self.clip.values() if isinstance(self.clip, Mapping) else [self.clip]), *self.metrics.values()]
        for clip in clips or [1.0]:
            self._session(("a", "b"), np.zeros(np.shape(clip)), clip)

    @property
    def named(self) -> frozenset[str]:
        """Arrays whose clip has been named."""
        return frozenset(self.clip if isinstance(self.clip, Mapping) else ()) - {DEFAULT}

    def session(self, parties: Iterable[PartyId], model: Model, **of_round: Any) -> Session:
        """A session whose updates have the structure of `blank_update`. Raises ConfigError.

        Args:
            of_round: context, entropy, run and round, as `Session.create` has them.
        """
        clip = clip_of(model.arrays, self.clip, model.counters, self.bits, self.metrics)
        return self._session(parties, blank_update(model.arrays, self.metrics), clip, **of_round)

    def _session(self, parties: Iterable[PartyId], like: Update, clip: Update, **how: Any) -> Session:
        return Session.create(
            parties,
            like,
            bits=self.bits,
            clip=clip,
            weight_max=self.weight_max,
            weight_min=self.weight_min,
            rounding=self.rounding,
            **how,
        )


def blank_update(model: Arrays, metrics: Collection[str]) -> Update:
    """An update of the right structure: {"arrays": {name: array}} and `blank_metrics`.

    Floats keep their dtype; integers and bools (counters, say) travel as float64, since an update may be negative.
    """
    arrays = {name: np.zeros(array.shape, leaf_dtype(array)) for name, array in model.items()}
    return {ARRAYS: arrays, **blank_metrics(metrics)}


def fits(layout: Layout, arrays: Arrays, metrics: Collection[str]) -> bool:
    """Whether updates of these arrays have that structure."""
    return layout == Layout.of(blank_update(arrays, metrics))


def clip_of(model: Arrays, clip: Clip, counters: Collection[str], bits: int, metrics: Collection[str]) -> Update:
    """The clip of every leaf of `blank_update(model, metrics)`.

    Args:
        clip: a number for all float arrays, or {name: clip, "*": clip of the rest}.
        counters: arrays of integers; that of a single one is `counter_clip(bits)`, unless named.

    Raises OutOfRange for a name that is no array of the model, or an array without a clip; ConfigError for arrays of
    integers that are not named.
    """
    named: Mapping[str, Any] = clip if isinstance(clip, Mapping) else {DEFAULT: clip}
    unknown = sorted(set(named) - set(model) - {DEFAULT})
    if unknown:
        raise OutOfRange(f"clip: no array named {unknown[0]!r}, expected names among {sorted(model)} and {DEFAULT!r}")
    missing = sorted(set(model) - set(named) - set(counters))
    if missing and DEFAULT not in named:
        raise OutOfRange(f"clip: none for array {missing[0]!r}, expected one, or a default under {DEFAULT!r}")
    unclear = sorted(name for name in set(counters) - set(named) if np.ndim(model[name]))
    if unclear:
        raise ConfigError(
            f"arrays {unclear} hold integers: weights have to start as floats; for what counts, "
            f"name the largest change in a round, such as clip={{{unclear[0]!r}: {COUNTED}, {DEFAULT!r}: 1.0}}"
        )
    counted = counter_clip(bits)
    arrays = {name: named.get(name, counted if name in counters else named.get(DEFAULT)) for name in model}
    return {ARRAYS: arrays, **blank_metrics(metrics)}


def counter_clip(bits: int) -> float:
    """The least clip of `COUNTED` or more at which one count is 2**k steps, so that integers fall on steps.

    With fewer than 13 bits one count is one step, and the clip is 2**(bits - 1) - 1.
    """
    finer = max(0, bits - 1 - COUNTED.bit_length())
    return (2.0 ** (bits - 1) - 1) / 2.0**finer


def summable(array: NDArray[Any], whose: str) -> NDArray[Any]:
    """The same array. Raises BadDtype unless its entries are floats, integers or bools."""
    if array.dtype.kind not in "fiub":
        raise BadDtype(f"{whose} is {array.dtype}, expected floats or integers")
    return array


def counters_of(model: Arrays) -> frozenset[str]:
    """Names of the arrays whose entries are integers or bools."""
    return frozenset(name for name, array in model.items() if array.dtype.kind != "f")


def update_of(received: Arrays, trained: Arrays) -> Arrays:
    """Trained minus received arrays. Raises ShapeMismatch naming the array."""
    if set(received) != set(trained):
        odd = min(set(received) ^ set(trained))
        raise ShapeMismatch(f"reply's arrays differ from the model's in {odd!r}, expected names {sorted(received)}")
    return {name: _difference(name, trained[name], array) for name, array in received.items()}


def _difference(name: str, new: NDArray[Any], old: NDArray[Any]) -> NDArray[Any]:
    if new.shape != old.shape:
        raise ShapeMismatch(f"array {name!r} has shape {new.shape}, expected {old.shape}")
    with np.errstate(all="ignore"):  # NaN and infinity are refused, with their position, when the update is encoded
        same = new.dtype == old.dtype and old.dtype.kind == "f"  # then the subtraction rounds once, as the cast would
        native = old.dtype.newbyteorder("=") if same else np.result_type(new, old, np.float64)
        difference = np.subtract(new, old, dtype=native)
        return np.asarray(difference, leaf_dtype(old))


def leaf_dtype(array: NDArray[Any]) -> np.dtype[Any]:
    """How an array's updates travel and its mean comes back: floats as they are, all else as float64."""
    return array.dtype if array.dtype.kind == "f" else np.dtype(np.float64)


def weight_of(values: Mapping[str, Any], key: str) -> int:
    """The reply's weight. Raises BadWeight where it is missing, negative or no whole number."""
    if key not in values:
        raise BadWeight(
            f"reply without {key!r}, expected the weight of this client's update; with weight_max=None the server asks "
            "for none"
        )
    value = values[key]
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not float(value).is_integer():
        raise BadWeight(f"{key!r} is no whole number, expected an integer weight")
    if value <= 0:
        raise BadWeight(f"{key!r} is {'zero' if value == 0 else 'negative'}, expected a weight, 1 or more")
    return int(value)
