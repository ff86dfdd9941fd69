"""How one leaf of an update becomes entries of the ring vector, and what a sum of such entries says of it.

A step is the chain of what befalls one entry: clip, scale and round for floats, in one pass of a kernel; a check for
integers. Each knows the largest entry it makes, which is as far as one party can move a sum, and its own error.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.encoding.layout import Leaf, position
from secagg.encoding.quantize import Quantizer, contiguous
from secagg.encoding.ring import Lanes
from secagg.errors import NotFinite, OutOfRing
from secagg.kernels import quantize as kernels

Bound = NDArray[np.float64]


@dataclass(frozen=True)
class Share:
    """What is scaled in, of one party's update, and out again of the sum.

    Attributes:
        inputs: how many parties' entries were added.
        weight_max: public bound of the weights, by which each party's floats were divided; 1 without weights.
        weight: sum of the parties' weights, or their number.
    """

    inputs: int
    weight_max: int
    weight: int

    @property
    def scale(self) -> float:
        """From the sum of scaled floats to their mean."""
        return self.weight_max / self.weight


@dataclass(frozen=True)
class Read:
    """What a sum says of one leaf: its mean, its sum, and the largest possible error of the mean."""

    mean: Any
    sum: Any
    bound: Bound


@dataclass(frozen=True)
class LeafStep(ABC):
    """Of one leaf, in entries of `bits` bits."""

    leaf: Leaf
    bits: int

    @property
    def largest(self) -> int:
        """Largest entry, and the most by which one party can change an entry of the sum."""
        return int(2**self.bits - 1)

    @property
    @abstractmethod
    def zero(self) -> int:
        """The entry that stands for zero."""

    @abstractmethod
    def check(self, path: str, array: NDArray[Any]) -> None:
        """Raise NotFinite or OutOfRing naming the position of an entry that cannot be summed."""

    @abstractmethod
    def write(self, array: NDArray[Any], ratio: float, out: Lanes, noise: Callable[[int], bytes]) -> int:
        """Write the entries of a checked array to `out` (size,); returns how many were clipped."""

    @abstractmethod
    def read(self, total: Lanes, share: Share) -> Read:
        """What the summed entries (size,) say."""


@dataclass(frozen=True)
class Quantized(LeafStep):
    """Floats: clipped, scaled by the weight, rounded to integers around an offset.

    Attributes:
        clip: shape () or (size,).
        quantizer: of floats in the clip's units.
    """

    clip: NDArray[np.float64]
    quantizer: Quantizer

    @property
    def zero(self) -> int:
        """The offset."""
        return self.quantizer.offset

    def check(self, path: str, array: NDArray[Any]) -> None:
        """Raise NotFinite."""
        flat = contiguous(array)
        bad = int(kernels.first_not_finite(flat))
        if bad >= 0:
            raise NotFinite(f"{position(path, self.leaf.shape, bad)} is {flat[bad]}, expected a finite number")

    def clipped(self, array: NDArray[Any]) -> int:
        """How many entries `write` clips, of a checked array."""
        return int(np.count_nonzero(np.abs(contiguous(array)) > self.clip))

    def write(self, array: NDArray[Any], ratio: float, out: Lanes, noise: Callable[[int], bytes]) -> int:
        """Stochastic rounding takes 4 bytes of noise an entry."""
        return self.quantizer.quantize(array, self.clip, ratio, out, noise)

    def read(self, total: Lanes, share: Share) -> Read:
        """Floats keep their dtype in the mean and are float64 in the sum."""
        summed = self.quantizer.dequantize(total, self.clip, share.inputs)
        bound = self.quantizer.error(self.clip) * (share.inputs * share.scale) + self._cast_error
        mean = _cast(summed * share.scale, self.leaf)
        return Read(self.leaf.made_of(mean), self.leaf.made_of(summed * share.weight_max), bound)

    @cached_property
    def _cast_error(self) -> NDArray[np.float64]:
        """An ulp of the leaf's dtype at the clip: twice what rounding to it can cost."""
        info = np.finfo(np.dtype(self.leaf.dtype))
        return self.clip * float(info.eps) + float(info.smallest_subnormal)


@dataclass(frozen=True)
class Counted(LeafStep):
    """Integers and bools: summed as they are, and never weighted."""

    zero = 0

    def check(self, path: str, array: NDArray[Any]) -> None:
        """Raise OutOfRing."""
        if not array.size or (array.min() >= 0 and array.max() <= self.largest):
            return
        outside = np.flatnonzero((array.reshape(-1) < 0) | (array.reshape(-1) > self.largest))[0]
        where = position(path, self.leaf.shape, int(outside))
        raise OutOfRing(
            f"{where} is {array.reshape(-1)[outside]}: "
            f"integers are summed as they are and must lie in 0..{self.largest} (bits={self.bits})"
        )

    def write(self, array: NDArray[Any], ratio: float, out: Lanes, noise: Callable[[int], bytes]) -> int:  # noqa: ARG002
        """As they are; nothing is clipped."""
        out[:] = array.reshape(-1)
        return 0

    def read(self, total: Lanes, share: Share) -> Read:
        """Exact in the sum, the nearest float64 in the mean. 2**20 parties' entries below 2**32 fit an int64."""
        return Read(self.leaf.made_of(total / share.inputs), self.leaf.made_of(total.astype(np.int64)), np.zeros(()))


@dataclass(frozen=True)
class Limbs:
    """An integer (a weight, a count) as entries of `bits` bits, little-endian, so that its sums are exact too.

    Attributes:
        most: the largest integer that it holds.
        bits: of an entry.
    """

    most: int
    bits: int

    @property
    def size(self) -> int:
        """Entries."""
        return -(-max(1, self.most.bit_length()) // self.bits)

    def write(self, value: int, out: Lanes) -> None:
        """`value` in 0..most, to (size,) entries."""
        out[:] = [value >> (self.bits * i) & (2**self.bits - 1) for i in range(self.size)]

    def read(self, total: Lanes) -> int:
        """The sum of what was written, from summed entries."""
        return sum(int(limb) << (self.bits * i) for i, limb in enumerate(total))


def _cast(mean: NDArray[np.float64], leaf: Leaf) -> NDArray[Any]:
    """To the leaf's own dtype; a rounding that passes the dtype's range ends at its edge."""
    dtype = np.dtype(leaf.dtype)
    edge = float(min(np.finfo(dtype).max, np.finfo(np.float64).max))
    return np.clip(mean, -edge, edge).astype(dtype)
