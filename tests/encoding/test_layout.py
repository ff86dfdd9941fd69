"""A layout turns any nesting of arrays into a row of leaves and back, and names the place of what does not fit."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.encoding.layout import MAX_DEPTH, DictOf, Layout, Leaf, ListOf, position
from secagg.errors import BadDtype, ConfigError, ShapeMismatch
from secagg.wire import codec

DTYPES = ["?", "i1", "u2", "i4", "u8", "f2", "f4", "f8", "g"]

leaves = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.builds(
        lambda dtype, shape: np.ones(shape, dtype),
        st.sampled_from(DTYPES),
        st.lists(st.integers(0, 3), max_size=3).map(tuple),
    ),
)
updates = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers(-9, 9)), inner, max_size=4),
    ),
    max_leaves=12,
)


def same(a, b):
    """Equal in structure, types, dtypes, shapes and values."""
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    left, right = np.asarray(a), np.asarray(b)
    return left.dtype == right.dtype and left.shape == right.shape and bool((left == right).all())


@given(update=updates)
def test_flatten_and_build_are_inverse(update):
    layout = Layout.of(update)
    arrays = [array for _, array in layout.flatten(update)]
    assert [array.shape for array in arrays] == [leaf.shape for leaf in layout.leaves]
    assert sum(array.size for array in arrays) == layout.size
    assert same(update, layout.build(arrays))


@given(update=updates)
def test_a_layout_made_here_passes_its_own_check_after_travel(update):
    layout = Layout.of(update)
    again = codec.decode(codec.encode(layout), Layout)
    assert again == layout
    again.check()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3)[:, ::2],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(6.0)[::-1],
        np.arange(6, dtype=">f4"),
        np.arange(6, dtype=">i8"),
        np.broadcast_to(np.float32(3), (2, 2)),
        np.float16(1.5),
        np.array(2.0),
    ],
    ids=["strided", "fortran", "reversed", "big-endian float", "big-endian int", "broadcast", "scalar", "0-d"],
)
def test_memory_order_does_not_matter(array):
    layout = Layout.of(array)
    ((path, leaf),) = layout.flatten(array)
    assert path == "update"
    assert leaf.dtype.isnative
    np.testing.assert_array_equal(leaf, array)


def test_order_of_keys_is_the_layouts_own():
    layout = Layout.of({"a": np.zeros(1), "b": np.zeros(2)})
    flat = layout.flatten({"b": np.full(2, 2.0), "a": np.full(1, 1.0)})
    assert [(path, array.tolist()) for path, array in flat] == [("update['a']", [1.0]), ("update['b']", [2.0, 2.0])]


def test_subclasses_of_str_are_plain_in_the_layout():
    (key,) = Layout.of({np.str_("w"): 1.0}).root.keys
    assert type(key) is str


@pytest.mark.parametrize(
    ("update", "error", "message"),
    [
        ({1.5: 1.0}, ConfigError, r"update: key is 1.5: expected a text or a 64-bit integer"),
        ({True: 1.0}, ConfigError, r"update: key is True: expected a text or a 64-bit integer"),
        ([{None: 1.0}], ConfigError, r"update\[0\]: key is None: expected a text or"),
        ({2**63: 1.0}, ConfigError, r"update: key is 9223372036854775808: expected a text or a 64-bit integer"),
        ({"\ud800": 1.0}, ConfigError, r"update: key '\\ud800' is no valid Unicode text"),
        ({"w": [1.0, "x"]}, BadDtype, r"update\['w'\]\[1\]: entries are str32, expected floats or integers"),
        ({"w": None}, BadDtype, r"update\['w'\]: NoneType, expected floats or integers"),
        ([2**64], BadDtype, r"update\[0\]: an int of 65 bits, expected floats or integers of at most 64 bits"),
        (np.ma.array([1.0, 2.0], mask=[False, True]), BadDtype, "update: some entries are masked out"),
    ],
)
def test_what_has_no_layout_is_named_with_its_place(update, error, message):
    with pytest.raises(error, match=message):
        Layout.of(update)


def test_nesting_is_bounded():
    update = 1.0
    for _ in range(MAX_DEPTH):
        update = [update]
    assert Layout.of(update).size == 1
    with pytest.raises(ConfigError, match=f"nested more than {MAX_DEPTH} deep"):
        Layout.of([update])
    endless = []
    endless.extend([endless, endless])
    with pytest.raises(ConfigError, match="deep"):
        Layout.of(endless)


@pytest.mark.parametrize(
    ("update", "error", "message"),
    [
        ({"w": np.ones(3)}, ShapeMismatch, r"update: a dict with keys \['w'\], expected a dict with keys \['w', 'b'\]"),
        ({"w": np.ones(3), "b": [1.0]}, ShapeMismatch, r"update\['b'\]: a list of 1, expected a list of 2"),
        ({"w": np.ones(3), "b": {}}, ShapeMismatch, r"update\['b'\]: a dict with keys \[\], expected a list of 2"),
        ({"w": np.ones((3, 1)), "b": [1.0, 2]}, ShapeMismatch, r"update\['w'\]: shape \(3, 1\), expected \(3,\)"),
        ({"w": np.ones(3), "b": [1.0, 2.0]}, ShapeMismatch, r"update\['b'\]\[1\]: entries are float64, expected int64"),
        ({"w": np.ones(3, int), "b": [1.0, 2]}, ShapeMismatch, r"update\['w'\]: entries are int64, expected float64"),
        ({"w": [1.0] * 3, "b": [1.0, 2]}, ShapeMismatch, r"update\['w'\]: a list of 3, expected an array of shape"),
        (np.ones(3), ShapeMismatch, r"update: ndarray, expected a dict"),
        ({"w": np.ones(3) * 1j, "b": [1.0, 2]}, BadDtype, r"update\['w'\]: entries are complex128"),
    ],
)
def test_an_update_of_another_layout_is_named_with_its_place(update, error, message):
    layout = Layout.of({"w": np.ones(3), "b": [1.0, 2]})
    with pytest.raises(error, match=message):
        layout.flatten(update)


@pytest.mark.parametrize(
    ("shape", "flat", "words"), [((), 0, "update"), ((4,), 3, "update[3]"), ((2, 3), 5, "update[1, 2]")]
)
def test_position_in_words(shape, flat, words):
    assert position("update", shape, flat) == words


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_a_tensor_is_an_array_where_torch_is_not_loaded(kind):
    made = Leaf((2, 3), "float32", kind).made_of(np.zeros(6, np.float32))
    assert isinstance(made, np.ndarray)
    assert made.shape == (2, 3)


LEAF = Leaf((1,), "float64", "array")


def nested(depth):
    node = LEAF
    for _ in range(depth):
        node = ListOf((node,), False)
    return node


@pytest.mark.parametrize(
    "root",
    [
        Leaf((1,), "object", "array"),
        Leaf((1,), "complex128", "array"),
        Leaf((1,), "float", "array"),
        Leaf((1,), "V8", "array"),
        Leaf((-1,), "float64", "array"),
        Leaf((2,), "float64", "number"),
        Leaf((2,), np.dtype("g").name, "tensor"),
        Leaf((1,) * 65, "float64", "array"),
        Leaf((0, 2**40, 2**40), "float64", "array"),
        DictOf(("a",), ()),
        DictOf((), (LEAF,)),
        DictOf(("a", "a"), (LEAF, LEAF)),
        ListOf((LEAF, DictOf(("a", "b"), (LEAF,))), False),
        nested(MAX_DEPTH + 1),
        nested(500),
    ],
    ids=range(15),
)
def test_a_hostile_layout_is_refused(root):
    with pytest.raises(ConfigError, match="update"):
        Layout(root).check()


@pytest.mark.parametrize("size", [256, 257])
def test_a_key_has_a_bound(size):
    """What errors and policies make of keys costs their length for every leaf beneath them."""
    like = {"k" * size: {"w": np.zeros(2)}}
    if size <= 256:
        assert Layout.of(like).leaves
        return
    with pytest.raises(ConfigError, match="a key of 257 characters, expected at most 256"):
        Layout.of(like)
    forged = msgspec.msgpack.encode([["dict", ["k" * size], [["leaf", [], "float64", "number"]]]])
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(forged, type=Layout)
