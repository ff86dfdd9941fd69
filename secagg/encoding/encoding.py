"""One party's update and weight as one ring vector, and the sum of such vectors as a mean.

A chain of steps that can be gone back: flatten the update (its layout); clip, scale and round each leaf (its own step);
place all of it in one vector: the update's entries, the weight (where there are weights), the number of clipped entries
and whether the party abstains, as limbs. A step over the whole update, such as a norm, belongs between the first and
the second; one over the whole vector, such as noise, after the third.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from secagg.arguments import checked, whole
from secagg.encoding import clips as clip_bytes
from secagg.encoding.clips import Clip, clip_of
from secagg.encoding.layout import MAX_LEAVES, Layout, Update
from secagg.encoding.quantize import Quantizer, Rounding
from secagg.encoding.ring import Lanes, Ring
from secagg.encoding.steps import Bound, Counted, LeafStep, Limbs, Quantized, Share
from secagg.errors import BadWeight, ConfigError, OutOfRange, PeerMisbehaved
from secagg.primitives import prg
from secagg.primitives.entropy import Entropy

WEIGHT_LIMIT = 2**48
"""Largest weight_max: a sum over 2**20 weights then still fits 68 bits of limbs, read as Python integers."""
WEIGHT_RATIO = 100
"""Of the largest weight to the smallest, where a session names only the largest, and in `Policy`."""
MAX_DIM = 2**36
"""Entries whose uint64 lanes stay within 2**40 bytes of mask stream a key."""


class Abstention(Enum):
    """The input of a party that has none that can be summed."""

    ABSTAIN = "abstain"

    def __repr__(self) -> str:
        return self.name


ABSTAIN = Abstention.ABSTAIN
"""In an update's place: an update of zeros, of its party's weight, that the sum counts (`Decoded.abstained`).

A server sees no difference between the vector of a party that abstains and any other. The weight stays in the sum, or
what is missing there would say whose it is.
"""


@dataclass(frozen=True)
class Decoded:
    """What a sum over some contributors' vectors says.

    Attributes:
        mean: the update's structure, floats in their dtype; weighted where there are weights (integer arrays are never
            weighted: their mean is the float64 nearest to the exact one).
        sum: the same structure: of clipped floats (times weights) as float64, of integers exactly as int64.
        ring_sum: (entries,) unsigned, the exact sum of the update's ring values.
        error_bound: largest possible |mean - true mean of the clipped updates| of the floats, a number, or the
            update's structure where clips differ.
        weight: sum of the contributors' weights, or their number.
        saturated: entries clipped, all contributors together.
        abstained: contributors that gave `ABSTAIN`; their updates count as zeros.
    """

    mean: Update
    sum: Update
    ring_sum: Lanes
    error_bound: Update
    weight: int
    saturated: int
    abstained: int


class Encoding(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, dict=True):
    """How updates become ring vectors: all that decides which vector an update is. Public; made by `of`.

    Attributes:
        layout: structure of every update.
        bits: every entry of a vector is below 2**bits; 1..32, from 2 up if there are floats.
        clips: little-endian float64 of each leaf's clip, one number or one an entry.
        weights: public range of the integer weights, None without weights.
        rounding: of floats; stochastic where there are weights.
        inputs: most vectors that are ever added.
    """

    layout: Layout
    bits: int
    clips: Annotated[tuple[bytes, ...], Meta(max_length=MAX_LEAVES)]
    weights: tuple[int, int] | None
    rounding: Rounding
    inputs: int

    @classmethod
    def of(
        cls,
        like: Update,
        inputs: int,
        bits: int = 16,
        clip: Update = 1.0,
        weights: tuple[int, int] | None = None,
        rounding: Rounding | None = None,
    ) -> "Encoding":
        """The encoding of updates like `like`; `Session.create` says what each argument is, and raises."""
        layout = Layout.of(like)
        bits = checked("bits", bits, int)
        if rounding is None:
            rounding = "nearest" if weights is None else "stochastic"
        encoding = cls(layout, bits, clip_bytes.to_bytes(clip_of(layout, clip)), weights, rounding, inputs)
        encoding.check()
        return encoding

    def check(self) -> None:
        """Raise OutOfRange or ConfigError for parameters that no sum can use."""
        self.layout.check()
        least = 2 if any(leaf.is_float for leaf in self.layout.leaves) else 1
        if not least <= self.bits <= 32:
            raise OutOfRange(f"bits is {self.bits}: expected {least}..32")
        if not isinstance(self.rounding, str) or self.rounding not in ("nearest", "stochastic"):
            raise OutOfRange(f"rounding is {self.rounding!r}: expected 'nearest' or 'stochastic'")
        if self.weights is not None:
            check_weights(*self.weights)
            if self.rounding == "nearest":
                # What is below half a step would be zero for light parties and not for heavy ones: a choice of bits
                # and clip leaves the heaviest alone in the sum.
                raise OutOfRange("rounding is 'nearest': expected 'stochastic' where there are weights")
        clip_bytes.check_dtypes(self.clip, self.layout)
        if self.dim > MAX_DIM:
            raise OutOfRange(f"update of {self.dim} entries: expected at most 2**36")

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of what decides which vector an update becomes; how many are added does not."""
        alone = msgspec.structs.replace(self, inputs=0)
        return hashlib.sha256(b"secagg/encoding/3" + msgspec.msgpack.encode(alone)).digest()

    @property
    def weight_max(self) -> int | None:
        """Largest weight, None without weights."""
        return None if self.weights is None else self.weights[1]

    @cached_property
    def clip(self) -> Clip:
        """Bound of each float leaf."""
        return clip_bytes.from_bytes(self.clips, self.layout)

    @cached_property
    def steps(self) -> tuple[LeafStep, ...]:
        """What befalls each leaf."""
        return tuple(
            Quantized(leaf, self.bits, clip, Quantizer(self.bits, self.rounding))
            if leaf.is_float
            else Counted(leaf, self.bits)
            for leaf, clip in zip(self.layout.leaves, self.clip, strict=True)
        )

    @cached_property
    def ring(self) -> Ring:
        """The smallest ring that holds the sum of all inputs' entries."""
        return Ring.holding(self.inputs, self.bits)

    @property
    def capacity(self) -> int:
        """Most vectors whose sum stays exact."""
        return self.ring.capacity(self.bits)

    @cached_property
    def entries(self) -> int:
        """Entries of the update itself."""
        return self.layout.size

    @cached_property
    def dim(self) -> int:
        """Entries of the ring vector: the update, the weight, the count of clipped entries and that of abstentions."""
        return self.entries + sum(limbs.size for limbs in self._appendix)

    @cached_property
    def _appendix(self) -> tuple[Limbs, ...]:
        """What stands after the update: of one party its weight, how many entries it clipped, whether it abstains."""
        weight = () if self.weights is None else (self.weights[1],)
        return tuple(Limbs(most, self.bits) for most in (*weight, self.entries, 1))

    def check_update(self, update: Update, weight: int) -> None:
        """Raise the InputError that `encode` would."""
        self._checked_weight(weight)
        if update is ABSTAIN:
            return
        for step, (path, array) in zip(self.steps, self.layout.flatten(update), strict=True):
            step.check(path, array)

    def saturation(self, update: Update) -> float:
        """The share of an update's floats that lie beyond their clips, 0..1. Raises as `encode` does."""
        clipped, floats = 0, 0
        for step, (path, array) in zip(self.steps, self.layout.flatten(update), strict=True):
            step.check(path, array)
            if isinstance(step, Quantized):
                clipped += step.clipped(array)
                floats += step.leaf.size
        return clipped / max(1, floats)

    def encode(self, update: Update, weight: int, entropy: Entropy) -> Lanes:
        """The ring vector (dim,) of one party.

        Raises ShapeMismatch, BadDtype, NotFinite, OutOfRing or BadWeight, naming the position.
        """
        weight, vector = self._checked_weight(weight), self.ring.zeros(self.dim)
        if update is ABSTAIN:
            for step, out in self._placed(vector):
                out[:] = step.zero
            self._append(vector, weight, 0, abstains=True)
            return vector
        noise, clipped = prg.stretched(entropy), 0
        for (step, out), (path, array) in zip(self._placed(vector), self.layout.flatten(update), strict=True):
            step.check(path, array)
            clipped += step.write(array, weight / (self.weight_max or 1), out, noise)
        self._append(vector, weight, clipped, abstains=False)
        return vector

    def decode(self, total: Lanes, contributors: int) -> Decoded:
        """What the ring sum (dim,) of `contributors` >= 1 vectors says.

        Raises PeerMisbehaved when the summed weight, or the number of abstentions, is impossible (a lie inside the
        ring, of an unknown party).
        """
        *weights, saturated, abstained = (limbs.read(part) for limbs, part in self._appended(total))
        weight, (least, most) = weights[0] if weights else contributors, self.weights or (1, 1)
        if abstained > contributors or not contributors * least <= weight <= contributors * most:
            raise PeerMisbehaved(
                f"weights of {contributors} contributors, {abstained} of whom abstain, add up to {weight}: "
                "some weight or count was out of range"
            )
        share = Share(contributors, most, weight)
        found = [step.read(part, share) for step, part in self._placed(total)]
        return Decoded(
            mean=self.layout.build([each.mean for each in found]),
            sum=self.layout.build([each.sum for each in found]),
            ring_sum=total[: self.entries].copy(),
            error_bound=self._bound([each.bound for each in found]),
            weight=weight,
            saturated=saturated,
            abstained=abstained,
        )

    def _placed(self, vector: Lanes) -> Iterator[tuple[LeafStep, Lanes]]:
        """Each leaf's step, and its place in the vector."""
        start = 0
        for step in self.steps:
            yield step, vector[start : start + step.leaf.size]
            start += step.leaf.size

    def _append(self, vector: Lanes, weight: int, clipped: int, abstains: bool) -> None:
        values = (weight, clipped, int(abstains))[-len(self._appendix) :]
        for (limbs, part), value in zip(self._appended(vector), values, strict=True):
            limbs.write(value, part)

    def _appended(self, vector: Lanes) -> Iterator[tuple[Limbs, Lanes]]:
        """Each number of the appendix, and its place in the vector."""
        start = self.entries
        for limbs in self._appendix:
            yield limbs, vector[start : start + limbs.size]
            start += limbs.size

    def _bound(self, bounds: list[Bound]) -> Update:
        """One number where every float leaf has the same clip, else the update's structure."""
        floats = [i for i, leaf in enumerate(self.layout.leaves) if leaf.is_float]
        clips = {float(self.clip[i]) for i in floats if self.clip[i].shape == ()}
        if len(clips) <= 1 and all(self.clip[i].shape == () for i in floats):
            return max((float(bounds[i]) for i in floats), default=0.0)
        leaves = self.layout.leaves
        full: list[NDArray[np.float64]] = [
            np.broadcast_to(bound, (leaf.size,)).copy() for bound, leaf in zip(bounds, leaves, strict=True)
        ]
        return self.layout.build([leaf.made_of(bound) for bound, leaf in zip(full, leaves, strict=True)])

    def _checked_weight(self, weight: Any) -> int:
        if self.weights is None:
            if not isinstance(weight, int | np.integer) or weight != 1:
                raise BadWeight(f"weight {weight!r}: the session has no weights (weight_max is None), expected 1")
            return 1
        return int(checked("weight", weight, whole(*self.weights, why=" (weight_min, weight_max)"), BadWeight))


def weight_range(most: Any, least: Any = None) -> tuple[int, int] | None:
    """(weight_min, weight_max) of a session; weight_min is a hundredth of weight_max where it is not given.

    Raises OutOfRange or ConfigError for what is none.
    """
    most = checked("weight_max", most, int | None)
    least = checked("weight_min", least, int | None)
    if most is None:
        if least is not None:
            raise ConfigError(f"weight_min is {least} and weight_max is None: give both, or none for no weights")
        return None
    least = max(1, -(-most // WEIGHT_RATIO)) if least is None else least
    check_weights(least, most)
    return least, most


def check_weights(least: int, most: int) -> None:
    """Raise OutOfRange for what is no range of weights."""
    if not 1 <= most <= WEIGHT_LIMIT:
        raise OutOfRange(f"weight_max is {most}: expected 1..2**48")
    if not 1 <= least <= most:
        raise OutOfRange(f"weight_min is {least}: expected 1..{most} (weight_max)")
