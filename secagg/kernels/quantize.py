"""Floats to ring entries: clip, scale, round, offset; in float64 arithmetic whatever the input's width."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.kernels._jit import kernel
from secagg.spans import span


@span("quantize")
def quantize(
    x: NDArray[Any],
    clip: float | NDArray[np.float64],
    weight_ratio: float,
    bits: int,
    out: NDArray[Any],
    noise: NDArray[np.uint32] | None = None,
) -> int:
    """Write round(y / clip * (weight_ratio * levels)) + 2**(bits - 1), y being x clipped to [-clip, clip].

    levels = 2**(bits - 1) - 1, so an entry lies in [1, 2**bits - 1] and zero is exactly 2**(bits - 1). The
    product before rounding never exceeds levels in magnitude; it is off by at most 2**-51 of itself (more only
    where x / clip is below 2**-1022).

    Args:
        x: (dim,) float32 or float64, contiguous and finite (see `first_not_finite`).
        clip: > 0; one number, or (dim,) float64.
        weight_ratio: in (0, 1], the party's weight over the greatest one.
        bits: 1..32.
        out: (dim,) uint16, uint32 or uint64 of at least `bits` bits, overwritten.
        noise: None rounds to nearest, halves to even. (dim,) uint32, uniform, rounds v stochastically to
            floor(v + noise / 2**32), whose mean is within 2**-32 of v.

    Returns:
        How many entries were saturated: |x| > clip.
    """
    clips = np.atleast_1d(np.asarray(clip, np.float64))
    zero = 1 << (bits - 1)
    return int(_quantize(x, clips, float(weight_ratio * (zero - 1)), zero, noise, out))


@kernel
def _quantize(
    x: NDArray[Any],
    clips: NDArray[np.float64],
    scale: float,
    zero: int,
    noise: NDArray[np.uint32] | None,
    out: NDArray[Any],
) -> int:
    """Compiled once for each kind of `noise`, none among them, so that entries do not ask which it is."""
    saturated = 0
    for i in range(x.size):
        value = np.float64(x[i])
        clip = clips[0] if clips.size == 1 else clips[i]
        saturated += abs(value) > clip
        v = _scaled(value, clip, scale)
        if noise is None:
            out[i] = np.int64(np.rint(v)) + zero
        else:
            out[i] = _up_or_down(v, noise[i]) + zero
    return saturated


@kernel
def _scaled(value: float, clip: float, scale: float) -> float:
    """clip(value) / clip * scale; rounding is monotone, so the result stays in [-scale, scale]."""
    return min(max(value, -clip), clip) / clip * scale


@kernel
def _up_or_down(v: float, noise: int) -> int:
    """floor(v + u) as floor(v), plus 1 where u >= 1 - frac(v): v + u itself could round to levels + 1."""
    below = np.floor(v)
    up = np.float64(noise) * 2.0**-32 >= 1.0 - (v - below)
    return int(np.int64(below) + np.int64(up))


@span("quantize")
def first_not_finite(x: NDArray[Any]) -> int:
    """Position of the first NaN or infinity in `x`, (dim,) float32 or float64, contiguous; -1 if none."""
    return int(_first_not_finite(x))


@kernel
def _first_not_finite(x: NDArray[Any]) -> int:
    for i in range(x.size):
        if not np.isfinite(x[i]):
            return i
    return -1
