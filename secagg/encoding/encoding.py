"""One party's update and weight as one ring vector, and the sum of such vectors as a mean.

A chain of steps that can be gone back: flatten the update (its layout); clip, scale and round each leaf (its own step);
place all of it in one vector: the update's entries, the weight (where there are weights) and the number of clipped
entries, both as limbs. A step over the whole update, such as a norm, belongs between the first and the second; one over
the whole vector, such as noise, after the third.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
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
from secagg.errors import BadWeight, OutOfRange, PeerMisbehaved
from secagg.primitives import prg
from secagg.primitives.entropy import Entropy

WEIGHT_LIMIT = 2**48
"""Largest weight_max: a sum over 2**20 weights then still fits 68 bits of limbs, read as Python integers."""
MAX_DIM = 2**36
"""Entries whose uint64 lanes stay within 2**40 bytes of mask stream a key."""


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
    """

    mean: Update
    sum: Update
    ring_sum: Lanes
    error_bound: Update
    weight: int
    saturated: int


class Encoding(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, dict=True):
    """How updates become ring vectors: all that decides which vector an update is. Public; made by `of`.

    Attributes:
        layout: structure of every update.
        bits: every entry of a vector is below 2**bits; 1..32, from 2 up if there are floats.
        clips: little-endian float64 of each leaf's clip, one number or one an entry.
        weight_max: public bound of the integer weights, None without weights.
        rounding: of floats.
        inputs: most vectors that are ever added.
    """

    layout: Layout
    bits: int
    clips: Annotated[tuple[bytes, ...], Meta(max_length=MAX_LEAVES)]
    weight_max: int | None
    rounding: Rounding
    inputs: int

    @classmethod
    def of(
        cls,
        like: Update,
        inputs: int,
        bits: int = 16,
        clip: Update = 1.0,
        weight_max: int | None = None,
        rounding: Rounding = "nearest",
    ) -> "Encoding":
        """The encoding of updates like `like`; `Session.create` says what each argument is, and raises."""
        layout = Layout.of(like)
        bits = checked("bits", bits, int)
        weight_max = checked("weight_max", weight_max, int | None)
        encoding = cls(layout, bits, clip_bytes.to_bytes(clip_of(layout, clip)), weight_max, rounding, inputs)
        encoding.check()
        return encoding

    def check(self) -> None:
        """Raise OutOfRange or ConfigError for parameters that no sum can use."""
        self.layout.check()
        least = 2 if any(leaf.is_float for leaf in self.layout.leaves) else 1
        if not least <= self.bits <= 32:
            raise OutOfRange(f"bits is {self.bits}: expected {least}..32")
        if self.weight_max is not None and not 1 <= self.weight_max <= WEIGHT_LIMIT:
            raise OutOfRange(f"weight_max is {self.weight_max}: expected 1..2**48")
        if not isinstance(self.rounding, str) or self.rounding not in ("nearest", "stochastic"):
            raise OutOfRange(f"rounding is {self.rounding!r}: expected 'nearest' or 'stochastic'")
        assert self.clip is not None
        if self.dim > MAX_DIM:
            raise OutOfRange(f"update of {self.dim} entries: expected at most 2**36")

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of what decides which vector an update becomes; how many are added does not."""
        alone = msgspec.structs.replace(self, inputs=0)
        return hashlib.sha256(b"secagg/encoding/2" + msgspec.msgpack.encode(alone)).digest()

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
        """Entries of the ring vector: the update, the weight and the count of clipped entries."""
        return self.entries + (0 if self._weight is None else self._weight.size) + self._count.size

    @cached_property
    def _weight(self) -> Limbs | None:
        return None if self.weight_max is None else Limbs(self.weight_max, self.bits)

    @cached_property
    def _count(self) -> Limbs:
        return Limbs(self.entries, self.bits)

    def check_update(self, update: Update, weight: int) -> None:
        """Raise the InputError that `encode` would."""
        self._checked_weight(weight)
        for step, (path, array) in zip(self.steps, self.layout.flatten(update), strict=True):
            step.check(path, array)

    def encode(self, update: Update, weight: int, entropy: Entropy) -> Lanes:
        """The ring vector (dim,) of one party.

        Raises ShapeMismatch, BadDtype, NotFinite, OutOfRing or BadWeight, naming the position.
        """
        ratio = self._checked_weight(weight) / (self.weight_max or 1)
        vector = self.ring.zeros(self.dim)
        noise, clipped = prg.stretched(entropy), 0
        for (step, out), (path, array) in zip(self._placed(vector), self.layout.flatten(update), strict=True):
            step.check(path, array)
            clipped += step.write(array, ratio, out, noise)
        weights, count = self._appendix(vector)
        if self._weight is not None:
            self._weight.write(int(weight), weights)
        self._count.write(clipped, count)
        return vector

    def decode(self, total: Lanes, contributors: int) -> Decoded:
        """What the ring sum (dim,) of `contributors` >= 1 vectors says.

        Raises PeerMisbehaved when the summed weight is impossible (a lie inside the ring, of an unknown party).
        """
        weights, count = self._appendix(total)
        weight = contributors if self._weight is None else self._weight.read(weights)
        if not contributors <= weight <= contributors * (self.weight_max or 1):
            raise PeerMisbehaved(
                f"weights of {contributors} contributors add up to {weight}: some weight was out of range"
            )
        share = Share(contributors, self.weight_max or 1, weight)
        found = [step.read(part, share) for step, part in self._placed(total)]
        return Decoded(
            mean=self.layout.build([each.mean for each in found]),
            sum=self.layout.build([each.sum for each in found]),
            ring_sum=total[: self.entries].copy(),
            error_bound=self._bound([each.bound for each in found]),
            weight=weight,
            saturated=self._count.read(count),
        )

    def _placed(self, vector: Lanes) -> Iterator[tuple[LeafStep, Lanes]]:
        """Each leaf's step, and its place in the vector."""
        start = 0
        for step in self.steps:
            yield step, vector[start : start + step.leaf.size]
            start += step.leaf.size

    def _appendix(self, vector: Lanes) -> tuple[Lanes, Lanes]:
        """The places of the weight and of the count of clipped entries."""
        counted = self.dim - self._count.size
        return vector[self.entries : counted], vector[counted:]

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
        if self.weight_max is None:
            if not isinstance(weight, int | np.integer) or weight != 1:
                raise BadWeight(f"weight {weight!r}: the session has no weights (weight_max is None), expected 1")
            return 1
        return int(checked("weight", weight, whole(1, self.weight_max, why=" (weight_max)"), BadWeight))
