"""One party's update and weight as one ring vector, and the sum of such vectors as a mean.

The vector holds, in this order: the update's entries, the weight (where the session has weights) and the
number of clipped entries, both as little-endian limbs of `bits` bits, so that sums of limbs stay exact too.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.encoding.layout import Layout, Leaf, Update, position
from secagg.encoding.quantize import Quantizer, Rounding, contiguous
from secagg.encoding.ring import Lanes, Ring
from secagg.errors import BadWeight, ConfigError, InputError, NotFinite, OutOfRange, OutOfRing, PeerMisbehaved
from secagg.kernels import quantize as kernels
from secagg.primitives import prg
from secagg.primitives.entropy import Entropy

Clip = tuple[NDArray[np.float64], ...]
"""One array a leaf, shape () or (leaf.size,)."""
CLIP_LIMIT = 1e280
"""Clips lie in 1/CLIP_LIMIT..CLIP_LIMIT: no step below the normal floats, no sum of weighted clips beyond them."""


@dataclass(frozen=True)
class Decoded:
    """What a sum over `contributors` vectors says.

    Attributes:
        mean, sum: the update's structure; floats keep their dtype in the mean and are float64 in the sum,
            integers are exact in the sum (int64, or uint64 above it) and in the mean the nearest float64.
        ring_sum: (entries,) unsigned, the summed ring values of the update alone.
        error_bound: of the floats' mean: a number, or the update's structure where the clips differ.
        weight: sum of the weights, or the number of contributors without weights.
        saturated: entries clipped, all contributors together.
    """

    mean: Update
    sum: Update
    ring_sum: Lanes
    error_bound: Update
    weight: int
    saturated: int


@dataclass(frozen=True)
class UpdateEncoding:
    """How a session writes updates as ring vectors.

    Attributes:
        layout: structure of every update.
        bits: every entry of a vector is below 2**bits; 1..32, from 2 up if there are floats.
        clip: bound of each float leaf.
        weight_max: public bound of any party's integer weight, None without weights.
        parties: most vectors that are ever added.
        rounding: of floats.
    """

    layout: Layout
    bits: int
    clip: Clip
    weight_max: int | None
    parties: int
    rounding: Rounding = "nearest"

    @cached_property
    def ring(self) -> Ring:
        """The smallest ring that holds the sum of all parties' entries."""
        return Ring.holding(self.parties, self.bits)

    @cached_property
    def entries(self) -> int:
        """Entries of the update itself."""
        return self.layout.size

    @cached_property
    def dim(self) -> int:
        """Entries of the ring vector: the update, the weight and the count of clipped entries."""
        return self.entries + self._weight_limbs + self._count_limbs

    @property
    def _weight_limbs(self) -> int:
        return 0 if self.weight_max is None else -(-self.weight_max.bit_length() // self.bits)

    @property
    def _count_limbs(self) -> int:
        return -(-max(1, self.entries.bit_length()) // self.bits)

    @cached_property
    def _quantizer(self) -> Quantizer:
        return Quantizer(self.bits, self.rounding)

    def check(self, update: Update, weight: int) -> None:
        """Raise the InputError that `encode` would."""
        self._checked_weight(weight)
        for (path, array), leaf in zip(self.layout.flatten(update), self.layout.leaves, strict=True):
            _check_entries(path, array, leaf, self.bits)

    def encode(self, update: Update, weight: int, entropy: Entropy) -> Lanes:
        """The ring vector (dim,) of one party.

        Raises ShapeMismatch, BadDtype, NotFinite, OutOfRing or BadWeight, naming the position.
        """
        ratio = self._checked_weight(weight) / (self.weight_max or 1)
        vector = self.ring.zeros(self.dim)
        noise = prg.stretched(entropy)
        clipped = start = 0
        leaves = zip(self.layout.flatten(update), self.layout.leaves, self.clip, strict=True)
        for (path, array), leaf, clip in leaves:
            _check_entries(path, array, leaf, self.bits)
            out = vector[start : start + leaf.size]
            if leaf.is_float:
                clipped += self._quantizer.quantize(array, clip, ratio, out, noise)
            else:
                out[:] = array.reshape(-1)
            start += leaf.size
        limbs = self._to_limbs(weight, self._weight_limbs) + self._to_limbs(clipped, self._count_limbs)
        vector[start:] = limbs
        return vector

    def decode(self, total: Lanes, contributors: int) -> Decoded:
        """Read the ring sum (dim,) of `contributors` >= 1 vectors.

        Raises PeerMisbehaved when the summed weight is impossible (a lie inside the ring, of an unknown party).
        """
        ends = self.entries + self._weight_limbs
        weight = self._from_limbs(total[self.entries : ends]) if self.weight_max else contributors
        if not contributors <= weight <= contributors * (self.weight_max or 1):
            raise PeerMisbehaved(
                f"weights of {contributors} contributors add up to {weight}: some weight was out of range"
            )
        scale = (self.weight_max or 1) / weight
        means, sums, bounds = [], [], []
        start = 0
        for leaf, clip in zip(self.layout.leaves, self.clip, strict=True):
            part = total[start : start + leaf.size]
            start += leaf.size
            if leaf.is_float:
                summed = self._quantizer.dequantize(part, clip, contributors)
                bound = self._quantizer.error(clip) * (contributors * scale) + _cast_error(leaf, clip)
                means.append(leaf.made_of(_cast(summed * scale, leaf)))
                sums.append(leaf.made_of(summed * (self.weight_max or 1)))
            else:
                summed_int = part.astype(np.uint64 if self.ring.bits > 63 else np.int64)
                bound = np.zeros(())
                means.append(leaf.made_of(part / contributors))
                sums.append(leaf.made_of(summed_int))
            bounds.append(bound)
        return Decoded(
            mean=self.layout.build(means),
            sum=self.layout.build(sums),
            ring_sum=total[: self.entries].copy(),
            error_bound=self._bound(bounds),
            weight=weight,
            saturated=self._from_limbs(total[ends:]),
        )

    def _bound(self, bounds: list[NDArray[np.float64]]) -> Update:
        """One number where every float leaf has the same clip, else the update's structure."""
        floats = [i for i, leaf in enumerate(self.layout.leaves) if leaf.is_float]
        clips = {float(self.clip[i]) for i in floats if self.clip[i].shape == ()}
        if len(clips) <= 1 and all(self.clip[i].shape == () for i in floats):
            return max((float(bounds[i]) for i in floats), default=0.0)
        leaves = self.layout.leaves
        full = [np.broadcast_to(bound, (leaf.size,)).copy() for bound, leaf in zip(bounds, leaves, strict=True)]
        return self.layout.build([leaf.made_of(bound) for bound, leaf in zip(full, leaves, strict=True)])

    def _checked_weight(self, weight: Any) -> int:
        if self.weight_max is None:
            if not isinstance(weight, int | np.integer) or weight != 1:
                raise BadWeight(f"weight {weight!r}: the session has no weights (weight_max is None), expected 1")
            return 1
        if isinstance(weight, bool) or not isinstance(weight, int | np.integer):
            raise BadWeight(f"weight {weight!r} is no integer, expected an integer in 1..{self.weight_max}")
        if not 1 <= weight <= self.weight_max:
            raise BadWeight(f"weight {weight}: expected an integer in 1..{self.weight_max} (weight_max)")
        return int(weight)

    def _to_limbs(self, value: int, limbs: int) -> list[int]:
        mask = 2**self.bits - 1
        return [int(value) >> (self.bits * i) & mask for i in range(limbs)]

    def _from_limbs(self, limbs: Lanes) -> int:
        return sum(int(limb) << (self.bits * i) for i, limb in enumerate(limbs))


def clip_of(layout: Layout, clip: Update) -> Clip:
    """`clip` (a number, or the layout's structure of numbers or arrays) as one array a leaf.

    Integer leaves have no clip. Raises OutOfRange for one that is not positive and finite, ShapeMismatch
    for another structure; both name the position.
    """
    try:
        if isinstance(clip, int | float | np.number):
            given = Layout(Leaf((), "float64", "number")).flatten(clip, broadcast=True) * len(layout.leaves)
        else:
            given = layout.flatten(clip, broadcast=True)
    except InputError as error:
        raise ConfigError(error.why.replace("update", "clip", 1)) from error
    return tuple(
        _checked_clip(path.replace("update", "clip", 1), array, leaf)
        for (path, array), leaf in zip(given, layout.leaves, strict=True)
    )


def is_clip(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of `values` can be clips."""
    return (values >= 1 / CLIP_LIMIT) & (values <= CLIP_LIMIT)


def _checked_clip(path: str, array: NDArray[Any], leaf: Leaf) -> NDArray[np.float64]:
    if not leaf.is_float:
        return np.ones(())
    if array.dtype.kind == "b":
        raise OutOfRange(f"{path} is bool: expected positive, finite numbers")
    values = contiguous(array if array.dtype.kind == "f" else array.astype(np.float64)).astype(np.float64)
    bad = np.flatnonzero(~is_clip(values))
    if bad.size:
        where = position(path, array.shape, int(bad[0]))
        raise OutOfRange(
            f"{where} is {float(values[bad[0]])!r}: expected a positive, finite number "
            f"({1 / CLIP_LIMIT:.0e}..{CLIP_LIMIT:.0e})"
        )
    return np.asarray(values[0]) if array.shape == () else values


def _check_entries(path: str, array: NDArray[Any], leaf: Leaf, bits: int) -> None:
    if leaf.is_float:
        flat = contiguous(array)
        bad = int(kernels.first_not_finite(flat))
        if bad >= 0:
            raise NotFinite(f"{position(path, leaf.shape, bad)} is {flat[bad]}, expected a finite number")
    elif array.size and (array.min() < 0 or array.max() >= 2**bits):
        outside = np.flatnonzero((array.reshape(-1) < 0) | (array.reshape(-1) >= 2**bits))[0]
        where = position(path, leaf.shape, int(outside))
        raise OutOfRing(
            f"{where} is {array.reshape(-1)[outside]}: "
            f"integers are summed as they are and must lie in 0..{2**bits - 1} (bits={bits})"
        )


def _cast(mean: NDArray[np.float64], leaf: Leaf) -> NDArray[Any]:
    """To the leaf's own dtype; a rounding that passes the dtype's range ends at its edge."""
    dtype = np.dtype(leaf.dtype)
    edge = float(min(np.finfo(dtype).max, np.finfo(np.float64).max))
    return np.clip(mean, -edge, edge).astype(dtype)


def _cast_error(leaf: Leaf, clip: NDArray[np.float64]) -> NDArray[np.float64]:
    """An ulp of the leaf's dtype at the clip: twice what rounding to it can cost."""
    info = np.finfo(np.dtype(leaf.dtype))
    return clip * float(info.eps) + float(info.smallest_subnormal)
