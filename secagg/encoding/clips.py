"""Clips: the public bound of each float entry of an update."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.encoding.layout import Layout, Leaf, Update, path_of, position
from secagg.encoding.quantize import contiguous
from secagg.errors import ConfigError, InputError, OutOfRange

Clip = tuple[NDArray[np.float64], ...]
"""One array a leaf, shape () or (leaf.size,)."""
CLIP_LIMIT = 1e280
"""Clips lie in 1/CLIP_LIMIT..CLIP_LIMIT: no step below the normal floats, no sum of weighted clips beyond them."""
_FLOAT = np.dtype("<f8")


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
        _checked(path.replace("update", "clip", 1), array, leaf)
        for (path, array), leaf in zip(given, layout.leaves, strict=True)
    )


def to_bytes(clip: Clip) -> tuple[bytes, ...]:
    """Little-endian float64 of each leaf's clip, one number or one an entry."""
    return tuple(np.asarray(values, _FLOAT).tobytes() for values in clip)


def from_bytes(clips: tuple[bytes, ...], layout: Layout) -> Clip:
    """The inverse. Raises ConfigError or OutOfRange for what are no clips of the layout."""
    leaves = layout.leaves
    if len(clips) != len(leaves):
        raise ConfigError(f"{len(clips)} clips for {len(leaves)} arrays")
    for clip, leaf in zip(clips, leaves, strict=True):
        if len(clip) not in (8, 8 * leaf.size):
            raise ConfigError(f"clip of {len(clip)} bytes for an array of {leaf.size} entries")
    arrays = [np.frombuffer(clip, _FLOAT) for clip in clips]
    if not all(_is_clip(array).all() for array in arrays):
        raise OutOfRange("clip: expected positive, finite numbers (1e-280..1e+280)")
    return tuple(array.reshape(()) if array.size == 1 else array for array in arrays)


def check_dtypes(clip: Clip, layout: Layout) -> None:
    """Raise OutOfRange for clips beyond what the updates' own dtype holds: no mean could be as large as they allow."""
    for place, leaf, values in zip(layout.places, layout.leaves, clip, strict=True):
        largest = values.max(initial=0.0)
        if leaf.is_float and largest > np.finfo(leaf.dtype).max:
            where, most = path_of(place).replace("update", "clip", 1), float(np.finfo(leaf.dtype).max)
            raise OutOfRange(f"{where} is {largest:.3g}: expected at most {most:.3g}, the largest {leaf.dtype}")


def _is_clip(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (values >= 1 / CLIP_LIMIT) & (values <= CLIP_LIMIT)


def _checked(path: str, array: NDArray[Any], leaf: Leaf) -> NDArray[np.float64]:
    if not leaf.is_float:
        return np.ones(())
    if array.dtype.kind == "b":
        raise OutOfRange(f"{path} is bool: expected positive, finite numbers")
    values = contiguous(array if array.dtype.kind == "f" else array.astype(np.float64)).astype(np.float64)
    bad = np.flatnonzero(~_is_clip(values))
    if bad.size:
        where = position(path, array.shape, int(bad[0]))
        raise OutOfRange(
            f"{where} is {float(values[bad[0]])!r}: expected a positive, finite number "
            f"({1 / CLIP_LIMIT:.0e}..{CLIP_LIMIT:.0e})"
        )
    return np.asarray(values[0]) if array.shape == () else values
