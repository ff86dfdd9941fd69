"""Labels of pandas' Series and DataFrames: entries are summed by them, not by position.

Pandas is never imported here: only a caller who did can hold one.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from secagg.errors import BadDtype, ShapeMismatch

MAX_NAME = 256
"""Characters of one label, and of a key."""
Name: TypeAlias = Annotated[str, Meta(max_length=MAX_NAME)]
MAX_LABELS = 2**16
"""Labels of one axis, where they are not 0, 1, 2, ..."""
Axis: TypeAlias = Annotated[tuple[Name | int, ...], Meta(max_length=MAX_LABELS)] | None
"""Distinct labels of one axis; None where they are 0, 1, 2, ..., as an array's are."""
_SHOWN = 8
_SIGNS = ("columns", "coords", "index")
"""By one of these attributes libraries of labelled data give away what they hold."""


def is_labelled(value: Any) -> bool:
    """Whether `value` is a `pandas.Series` or `pandas.DataFrame`."""
    pandas = sys.modules.get("pandas")
    kinds = tuple(kind for name in ("Series", "DataFrame") if (kind := getattr(pandas, name, None)) is not None)
    return isinstance(value, kinds)


def check_unlabelled(value: Any, path: str) -> None:
    """Raise BadDtype for labelled data of a library that is not known here: read as an array, it loses its labels."""
    kind = type(value)
    if any(not callable(getattr(kind, sign, callable)) for sign in _SIGNS):
        raise BadDtype(
            f"{path}: the labels of a {kind.__module__}.{kind.__qualname__} are not read; give a pandas Series or "
            "DataFrame, a dict, or a NumPy array in an order that is everyone's"
        )


def array_of(value: Any, path: str) -> NDArray[Any]:
    """The entries of a Series or DataFrame. Raises BadDtype for columns of floats beside columns of integers."""
    dtypes = [value.dtype] if value.ndim == 1 else list(value.dtypes)
    if len({dtype.kind == "f" for dtype in dtypes}) > 1:
        raise BadDtype(
            f"{path}: columns are {', '.join(sorted({str(dtype) for dtype in dtypes}))}: floats are quantized and "
            "integers are summed as they are; give a dict of columns, or columns of one dtype"
        )
    return np.asarray(value)


def axes_of(value: Any) -> tuple[Sequence[Any] | None, ...]:
    """The labels of each axis as pandas has them; None where they are 0, 1, 2, ... in this order."""
    return tuple(None if _counts(axis) else list(axis) for axis in value.axes)


def aligned(array: NDArray[Any], given: Sequence[Axis], wanted: Sequence[Axis], path: str) -> NDArray[Any]:
    """`array` with entries labelled as `given`, in the order of the labels `wanted`; itself where they agree.

    Raises ShapeMismatch for other sets of labels, naming some.
    """
    for number, (have, want) in enumerate(zip(given, wanted, strict=True)):
        if have != want:
            here = _all(have, array.shape[number])
            if len(here) > MAX_LABELS:
                raise ShapeMismatch(
                    f"{path}: {len(here)} entries without labels, expected at most {MAX_LABELS} labelled"
                )
            array = array.take(_order(here, _all(want, len(here)), path), number)
    return array


def labelled(array: NDArray[Any], axes: Sequence[Axis]) -> Any:
    """A Series (one axis) or DataFrame (two); without pandas, dicts by label, of columns first."""
    pandas: Any = sys.modules.get("pandas")
    if pandas is None:
        return _by_label(array.T, axes[::-1]) if any(axes) else array
    made = pandas.Series if len(axes) == 1 else pandas.DataFrame
    return made(array, *(None if axis is None else pandas.Index(axis) for axis in axes))


def _counts(axis: Any) -> bool:
    """Whether a pandas Index holds 0, 1, 2, ... and so no labels that anybody gave; a truth value is no number."""
    return axis.dtype.kind in "iu" and axis.nlevels == 1 and bool((np.asarray(axis) == np.arange(len(axis))).all())


def _all(axis: Axis, size: int) -> Sequence[str | int]:
    return range(size) if axis is None else axis


def _order(have: Sequence[str | int], want: Sequence[str | int], path: str) -> list[int]:
    """Where each label of `want` stands in `have`."""
    places = {label: place for place, label in enumerate(have)}
    if places.keys() != set(want):
        raise ShapeMismatch(
            f"{path}: labels {_some(have, want)}, expected labels {_some(want, have)}: sums are by label, and all "
            "parties need the same set of them"
        )
    return [places[label] for label in want]


def _some(labels: Sequence[str | int], others: Sequence[str | int]) -> str:
    """Labels in words, first those that the others lack."""
    known = set(others)
    shown = sorted(labels, key=lambda label: label in known)[:_SHOWN]
    return ", ".join(map(repr, shown)) + (f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else "")


def _by_label(array: NDArray[Any], axes: Sequence[Axis]) -> Any:
    if not any(axes):
        return array
    parts = [_by_label(part, axes[1:]) for part in array]
    return parts if axes[0] is None else dict(zip(axes[0], parts, strict=True))
