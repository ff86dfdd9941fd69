"""The structure of an update: arrays, and lists, tuples and dicts of them, flattened to a row of leaves and back."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from math import prod
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from secagg.arguments import checked
from secagg.encoding import labels, tensors
from secagg.encoding.labels import MAX_NAME, Axis, Name
from secagg.errors import BadDtype, ConfigError, ShapeMismatch

MAX_LEAVES = 2**16
"""Arrays of an update, and entries of one list or dict in it."""
MAX_DEPTH = 32
"""Nesting of lists and dicts that a layout may have."""
MAX_AXES = 64
"""Axes of an array, NumPy's own limit."""
_MANY = f"{MAX_LEAVES}: give an array in place of many numbers"
_MAX_EXTENT = 2**59
"""Bound on the product of an array's axes, empty ones aside: the uint64 lanes of more could not be addressed."""
_DTYPES = frozenset(np.dtype(code).name for code in "?bhilqBHILQefdg")

Update: TypeAlias = Any
"""An array, a tensor, a number, labelled data of pandas, or a list, tuple or dict (of lists, ...) of them."""
Key: TypeAlias = str | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1, title="a 64-bit integer")]
"""A dict's key as it can travel."""
Kind: TypeAlias = Literal["array", "number", "tensor"]
"""What a leaf is to its caller, and what results come back as."""


class Leaf(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="leaf"):
    """One array.

    Attributes:
        shape: as NumPy has it; () for a scalar.
        dtype: NumPy's name, such as "float32"; floats are quantized, integers and bools summed as they are.
        kind: an array, a Python number or a PyTorch tensor; results come back as one.
    """

    shape: Annotated[tuple[int, ...], Meta(max_length=MAX_AXES)]
    dtype: str
    kind: Kind

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The labels of each axis: an array's are 0, 1, 2, ..."""
        return (None,) * len(self.shape)

    @property
    def size(self) -> int:
        """Number of entries."""
        return prod(self.shape)

    @property
    def is_float(self) -> bool:
        """Whether entries are quantized."""
        return self.dtype.startswith("float")

    def made_of(self, flat: NDArray[Any]) -> Any:
        """(size,) values as this leaf; a tensor only where torch is loaded, an array elsewhere."""
        array = flat.reshape(self.shape)
        if self.kind == "number":
            return array.item()
        return tensors.tensor_of(array) if self.kind == "tensor" else array


class Labelled(Leaf, frozen=True, array_like=True, forbid_unknown_fields=True, tag="labelled"):
    """A pandas Series (one axis) or DataFrame (rows, then columns): entries belong to labels, whatever their order.

    Attributes:
        axes: the labels of each axis, in the order of the vector's entries.
    """

    axes: Annotated[tuple[Axis, ...], Meta(min_length=1, max_length=2)]

    def made_of(self, flat: NDArray[Any]) -> Any:
        """(size,) values under their labels; as dicts by label where pandas is not loaded."""
        return labels.labelled(flat.reshape(self.shape), self.axes)


class ListOf(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="list"):
    """A list, or a tuple where `is_tuple`."""

    items: "Annotated[tuple[Node, ...], Meta(max_length=MAX_LEAVES)]"
    is_tuple: bool


class DictOf(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="dict"):
    """A dict; `items[i]` belongs to `keys[i]`, in insertion order."""

    keys: Annotated[tuple[Name | int, ...], Meta(max_length=MAX_LEAVES)]
    items: "Annotated[tuple[Node, ...], Meta(max_length=MAX_LEAVES)]"


Node: TypeAlias = Leaf | Labelled | ListOf | DictOf


class Layout(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The structure that all updates of a session share."""

    root: Node

    @classmethod
    def of(cls, update: Update) -> "Layout":
        """The layout of `update`. Raises BadDtype or ConfigError for what cannot be summed."""
        return cls(_node_of(update, "update", 0))

    def check(self) -> None:
        """Raise ConfigError for a layout that `of` would not make, or that nobody could read."""
        if sum(1 for _ in islice(_nodes(self.root, 0), 2 * MAX_LEAVES + 1)) > 2 * MAX_LEAVES:
            raise ConfigError(f"update: more than {2 * MAX_LEAVES} lists, dicts, arrays and numbers")
        _check_node(self.root, "update", 0)
        if len(self.leaves) > MAX_LEAVES:
            raise ConfigError(f"update: {len(self.leaves)} arrays and numbers, expected at most {_MANY}")

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """All leaves, depth first."""
        return tuple(_leaves(self.root))

    @property
    def places(self) -> tuple[tuple[str | int, ...], ...]:
        """Of each leaf: the keys and indices that lead to it."""
        return tuple(_places(self.root, ()))

    @property
    def size(self) -> int:
        """Entries of all leaves together."""
        return sum(leaf.size for leaf in self.leaves)

    def flatten(self, update: Update, broadcast: bool = False) -> list[tuple[str, NDArray[Any]]]:
        """(path, array) of each leaf, in the layout's order, after checking structure, shapes and kinds.

        Labelled data comes in the order of the layout's labels. With `broadcast` (for clips) an array may also be a
        single number, and kinds are not compared. Raises ShapeMismatch or BadDtype, naming the path.
        """
        return list(_walk(self.root, update, "update", broadcast))

    def build(self, arrays: "list[Any]") -> Update:
        """The inverse of `flatten`: `arrays[i]` becomes leaf i as it is."""
        rest = iter(arrays)
        return _build(self.root, lambda _: next(rest))


def path_of(place: Iterable[str | int]) -> str:
    """As errors name a leaf: "update['w'][0]"."""
    return "update" + "".join(f"[{key!r}]" for key in place)


def position(path: str, shape: tuple[int, ...], flat: int) -> str:
    """Entry `flat` of the leaf at `path` in words, such as "update['w'][3, 2]"."""
    if not shape:
        return path
    return f"{path}[{', '.join(str(int(i)) for i in np.unravel_index(flat, shape))}]"


def _node_of(update: Update, path: str, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise ConfigError(f"{path}: nested more than {MAX_DEPTH} deep")
    if isinstance(update, Mapping):
        return DictOf(
            tuple(_key(key, path) for key in update),
            tuple(_node_of(item, f"{path}[{key!r}]", depth + 1) for key, item in update.items()),
        )
    if isinstance(update, list | tuple):
        items = tuple(_node_of(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(update))
        return ListOf(items, isinstance(update, tuple))
    array, axes = _array(update, path), _axes_of(update, path)
    if axes:
        return Labelled(array.shape, array.dtype.name, "array", axes)
    return Leaf(array.shape, array.dtype.name, _kind_of(update))


def _axes_of(value: Any, path: str) -> tuple[Axis, ...]:
    """The labels of labelled data; nothing of all else. Raises ConfigError for what cannot travel, or stands twice."""
    if not labels.is_labelled(value):
        return ()
    axes = tuple(
        axis if axis is None else tuple(_key(label, path, "label") for label in axis) for axis in labels.axes_of(value)
    )
    _check_axes(axes, value.shape, path)
    return axes


def _kind_of(value: Any) -> Kind:
    if isinstance(value, int | float) and not isinstance(value, np.generic):
        return "number"
    return "tensor" if tensors.is_tensor(value) else "array"


def _key(key: Any, path: str, what: str = "key") -> str | int:
    found: str | int = checked(f"{path}: {what}", key, Key, ConfigError)
    if isinstance(found, str) and len(found) > MAX_NAME:
        raise ConfigError(f"{path}: a {what} of {len(found)} characters, expected at most {MAX_NAME}")
    if isinstance(found, str) and not is_text(found):
        raise ConfigError(f"{path}: {what} {found!r} is no valid Unicode text")
    return found


def is_text(value: str) -> bool:
    """Whether UTF-8 can write it: a str may hold lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _array(value: Any, path: str) -> NDArray[Any]:
    """`value` as a native-endian array of floats, integers or bools, without a copy where it is one already."""
    array = labels.array_of(value, path) if labels.is_labelled(value) else _unlabelled(value, path)
    if array.dtype.kind not in "fiub":
        found = _found(value) if array.dtype == object and array.shape == () else f"entries are {array.dtype.name}"
        raise BadDtype(f"{path}: {found}, expected floats or integers of at most 64 bits")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _unlabelled(value: Any, path: str) -> NDArray[Any]:
    if np.ma.is_masked(value):
        raise BadDtype(f"{path}: some entries are masked out, expected a number for each")
    labels.check_unlabelled(value, path)
    try:
        return tensors.array_of(value) if tensors.is_tensor(value) else np.asarray(value)
    except Exception as error:  # an object's own __array__ may raise anything, and torch where a tensor is sparse
        raise BadDtype(f"{path}: {type(value).__name__} is not an array of numbers") from error


def _found(value: Any) -> str:
    return f"an int of {value.bit_length()} bits" if isinstance(value, int) else type(value).__name__


def _check_node(node: Node, path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ConfigError(f"{path}: nested more than {MAX_DEPTH} deep")
    if isinstance(node, Leaf):
        _check_leaf(node, path)
        return
    if len(node.items) > MAX_LEAVES:
        raise ConfigError(f"{path}: {len(node.items)} entries, expected at most {_MANY}")
    if isinstance(node, DictOf) and not len(set(node.keys)) == len(node.keys) == len(node.items):
        raise ConfigError(f"{path}: {len(node.items)} items, {len(set(node.keys))} different keys")
    for i, item in enumerate(node.items):
        _check_node(item, f"{path}[{i}]", depth + 1)


def _check_leaf(leaf: Leaf, path: str) -> None:
    if leaf.dtype not in _DTYPES:
        raise ConfigError(f"{path}: array of dtype {leaf.dtype!r}, expected floats or integers")
    if leaf.kind == "tensor" and np.dtype(leaf.dtype).itemsize > 8:
        raise ConfigError(f"{path}: no tensor has dtype {leaf.dtype!r}")
    if len(leaf.shape) > (0 if leaf.kind == "number" else MAX_AXES) or any(axis < 0 for axis in leaf.shape):
        raise ConfigError(f"{path}: array with {len(leaf.shape)} axes, or a negative one")
    if prod(max(axis, 1) for axis in leaf.shape) > _MAX_EXTENT:
        raise ConfigError(f"{path}: no array can have shape {leaf.shape}")
    if isinstance(leaf, Labelled):
        if leaf.kind != "array":
            raise ConfigError(f"{path}: labels of a {leaf.kind}, expected those of an array")
        _check_axes(leaf.axes, leaf.shape, path)


def _check_axes(axes: tuple[Axis, ...], shape: tuple[int, ...], path: str) -> None:
    if len(axes) != len(shape):
        raise ConfigError(f"{path}: labels of {len(axes)} axes for {len(shape)}")
    for axis, size in zip(axes, shape, strict=True):
        if axis is None:
            continue
        if size > labels.MAX_LABELS:
            raise ConfigError(f"{path}: {size} labels, expected at most {labels.MAX_LABELS}: give an array")
        if not len(set(axis)) == len(axis) == size:
            raise ConfigError(f"{path}: {len(set(axis))} different labels for {size} entries: each needs its own")


def _nodes(node: Node, depth: int) -> Iterator[Node]:
    """Itself and all beneath it, as deep as a layout may be."""
    yield node
    if not isinstance(node, Leaf) and depth <= MAX_DEPTH:
        for item in node.items:
            yield from _nodes(item, depth + 1)


def _leaves(node: Node) -> Iterator[Leaf]:
    if isinstance(node, Leaf):
        yield node
    else:
        for item in node.items:
            yield from _leaves(item)


def _walk(node: Node, update: Update, path: str, broadcast: bool) -> Iterator[tuple[str, NDArray[Any]]]:
    if isinstance(node, Leaf):
        yield path, _checked_leaf(node, update, path, broadcast)
    elif isinstance(node, ListOf):
        if not isinstance(update, list | tuple) or len(update) != len(node.items):
            raise ShapeMismatch(f"{path}: {_kind(update)}, expected a list of {len(node.items)}")
        for i, item in enumerate(node.items):
            yield from _walk(item, update[i], f"{path}[{i}]", broadcast)
    else:
        if not isinstance(update, Mapping) or set(update) != set(node.keys):
            raise ShapeMismatch(f"{path}: {_kind(update)}, expected a dict with keys {list(node.keys)}")
        for key, item in zip(node.keys, node.items, strict=True):
            yield from _walk(item, update[key], f"{path}[{key!r}]", broadcast)


def _checked_leaf(leaf: Leaf, value: Any, path: str, broadcast: bool) -> NDArray[Any]:
    if isinstance(value, Mapping | list | tuple):
        raise ShapeMismatch(f"{path}: {_kind(value)}, expected an array of shape {leaf.shape}")
    array, axes = _array(value, path), _axes_of(value, path)
    if broadcast and array.shape == ():
        return array
    if array.shape == leaf.shape or (axes and array.ndim == len(leaf.shape)):
        array = labels.aligned(array, axes or (None,) * array.ndim, leaf.axes, path)
    if array.shape != leaf.shape:
        raise ShapeMismatch(f"{path}: shape {array.shape}, expected {leaf.shape}")
    if not broadcast and (array.dtype.kind == "f") != leaf.is_float:
        raise ShapeMismatch(f"{path}: entries are {array.dtype.name}, expected {leaf.dtype}")
    return array


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a dict with keys {list(value)[:8]}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{type(value).__name__}"


def _places(node: Node, place: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(node, Leaf):
        yield place
        return
    keys = node.keys if isinstance(node, DictOf) else range(len(node.items))
    for key, item in zip(keys, node.items, strict=True):
        yield from _places(item, (*place, key))


def _build(node: Node, leaf: Callable[[Leaf], Any]) -> Update:
    if isinstance(node, Leaf):
        return leaf(node)
    items = [_build(item, leaf) for item in node.items]
    if isinstance(node, DictOf):
        return dict(zip(node.keys, items, strict=True))
    return tuple(items) if node.is_tuple else items
