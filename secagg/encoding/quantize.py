"""Floats in [-c, c] to integers below 2**bits and back, with the largest error that this can make.

A float x becomes round(clip(x) * r * L / c) + 2**(bits-1) with L = 2**(bits-1) - 1 and r = weight / weight_max
(1 where there are no weights): zero is exact, and all values lie in 1..2**bits - 1.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from secagg.encoding.ring import Lanes
from secagg.errors import OutOfRange
from secagg.kernels import quantize as kernels
from secagg.primitives.entropy import Entropy, draw

Rounding = Literal["nearest", "stochastic"]
_EPS = float(np.finfo(np.float64).eps)


def contiguous(x: NDArray[Any]) -> NDArray[Any]:
    """Floats of any width and layout as (size,) float32 or float64, the two that the kernels take.

    Finite numbers beyond float64, which only a wider dtype holds, become its largest: they are clipped anyway.
    """
    if x.dtype.itemsize > 8:
        edge = np.finfo(np.float64).max
        x = np.where(np.isfinite(x), np.clip(x, -edge, edge), x)
    return np.ascontiguousarray(x, np.float32 if x.dtype.itemsize <= 4 else np.float64).reshape(-1)


@dataclass(frozen=True)
class Quantizer:
    """`bits` 2..32 per value; nearest rounding errs by at most half a step, stochastic by one, unbiased."""

    bits: int
    rounding: Rounding = "nearest"

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 32:
            raise OutOfRange(f"bits is {self.bits}: floats need 2..32 bits (a sign and a magnitude)")

    @property
    def levels(self) -> int:
        """L: steps between 0 and the clip."""
        return int(2 ** (self.bits - 1) - 1)

    @property
    def offset(self) -> int:
        """The integer that stands for zero."""
        return int(2 ** (self.bits - 1))

    def quantize(
        self,
        x: NDArray[Any],
        clip: NDArray[np.float64],
        ratio: float,
        out: Lanes,
        entropy: Entropy,
    ) -> int:
        """Write the integers of finite `x` (dim,) to `out` (dim,); returns how many entries were clipped.

        `clip` is shape () or (dim,), positive; `ratio` is in (0, 1]; stochastic rounding takes 4 bytes of
        `entropy` an entry.
        """
        flat = contiguous(x)
        noise = None
        if self.rounding == "stochastic":
            noise = np.frombuffer(bytearray(draw(entropy, 4 * flat.size)), "<u4")
        return kernels.quantize(flat, float(clip) if clip.shape == () else clip, ratio, self.bits, out, noise)

    def dequantize(self, total: Lanes, clip: NDArray[np.float64], inputs: int) -> NDArray[np.float64]:
        """The sum of `inputs` quantized vectors as floats, shape (dim,)."""
        # Whole numbers up to 2**64 do not fit a float; a difference from the offset does, to half an ulp.
        centred = (total.astype(np.uint64) - np.uint64(inputs * self.offset)).view(np.int64)
        return centred.astype(np.float64) * (clip / self.levels)

    def error(self, clip: NDArray[np.float64]) -> NDArray[np.float64]:
        """Largest error of one value, in the update's units: the rounding, and a few ulps of the arithmetic."""
        rounding = 0.5 if self.rounding == "nearest" else 1.0
        return clip * (rounding / self.levels + 16 * _EPS)
