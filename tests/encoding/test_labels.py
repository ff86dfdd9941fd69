"""Labelled data is summed by label, or refused in an error that names the labels; pandas is never imported for it."""

import re
import subprocess
import sys
import types

import numpy as np
import pytest

import secagg
from secagg.encoding.labels import MAX_LABELS
from secagg.encoding.layout import Labelled, Layout, Leaf
from secagg.errors import BadDtype, ConfigError, NotFinite, ShapeMismatch
from secagg.wire import codec
from secagg_protocols import PairwiseMasking

pd = pytest.importorskip("pandas")

SCHEME = PairwiseMasking()
DIAGNOSES = {
    "a": ["flu"] * 9 + ["tb"] * 5 + ["hiv"],
    "b": ["tb"] * 8 + ["hiv"] * 4 + ["flu"] * 2,
    "c": ["hiv"] * 7 + ["flu"] * 3 + ["tb"],
}


def summed(*updates, **options):
    return secagg.aggregate(dict(enumerate(updates)), SCHEME, **options)


def test_counts_that_pandas_sorts_by_size_are_summed_by_label():
    counts = {party: pd.Series(seen).value_counts() for party, seen in DIAGNOSES.items()}
    assert len({tuple(each.index) for each in counts.values()}) == 3
    out = secagg.aggregate(counts, SCHEME)
    assert out.sum.to_dict() == {"flu": 14, "tb": 14, "hiv": 12}
    assert out.mean.to_dict() == {"flu": 14 / 3, "tb": 14 / 3, "hiv": 4.0}
    assert isinstance(out.sum, pd.Series)
    assert out.sum.dtype == np.int64


def test_frames_are_summed_by_both_their_labels():
    rows, columns = ["ward", "icu"], ["age", "stay", "cost"]
    first = pd.DataFrame(np.arange(6.0).reshape(2, 3), rows, columns)
    second = first.loc[["icu", "ward"], ["cost", "age", "stay"]] * 2
    out = summed(first, second, first, clip=20.0)
    true = (first + second.loc[rows, columns] + first) / 3
    assert isinstance(out.mean, pd.DataFrame)
    assert list(out.mean.index) == rows
    assert list(out.mean.columns) == columns
    assert np.abs(out.mean - true).to_numpy().max() <= out.error_bound


def test_clips_and_bounds_have_labels_too():
    update = pd.Series({"age": 40.0, "stay": 0.5})
    out = summed(update, update[["stay", "age"]], update, clip=pd.Series({"stay": 1.0, "age": 100.0}))
    assert out.saturated == 0
    assert np.abs(out.mean - update).le(out.error_bound).all()
    assert out.error_bound["age"] > 50 * out.error_bound["stay"]
    with pytest.raises(ConfigError, match=r"clip: labels 0, 1, expected labels 'age', 'stay'"):
        summed(update, update, update, clip=np.array([100.0, 1.0]))


def test_labels_inside_a_structure_and_beside_arrays():
    def update(order):
        return {"counts": [pd.Series({"x": 1, "y": 2})[order]], "w": np.ones(2)}

    out = summed(update(["x", "y"]), update(["y", "x"]), update(["x", "y"]))
    assert out.sum["counts"][0].to_dict() == {"x": 3, "y": 6}


@pytest.mark.parametrize(
    "shuffled",
    [pd.Series([5, 3, 4], [2, 0, 1]), pd.Series([5, 3, 4], pd.Index([2, 0, 1], dtype="int8"))],
    ids=["int64", "int8"],
)
def test_the_labels_of_an_array_are_its_positions(shuffled):
    """What pandas numbers by itself has no labels: arrays and such Series mix, and one that was sorted is put back."""
    plain = pd.Series([3, 4, 5])
    assert Layout.of(plain).root.axes == (None,)
    assert summed(plain, np.array([3, 4, 5]), shuffled).sum.to_list() == [9, 12, 15]
    assert summed(np.array([3, 4, 5]), plain, shuffled).sum.tolist() == [9, 12, 15]


def test_a_long_series_without_labels_costs_none():
    long = pd.Series(np.zeros(MAX_LABELS + 1))
    session = secagg.Session.create([0, 1], long)
    assert len(session.to_bytes()) < 200
    assert secagg.Session.from_bytes(session.to_bytes()) == session
    with pytest.raises(ConfigError, match=f"update: {MAX_LABELS + 1} labels, expected at most {MAX_LABELS}"):
        secagg.Session.create([0, 1], long[::-1])


THREE = pd.Series({"flu": 1, "tb": 2, "hiv": 3})
OTHERS = {
    "fewer": (THREE[["tb", "flu"]], r"labels 'tb', 'flu', expected labels 'hiv', 'flu', 'tb'"),
    "more": (pd.Series({**THREE, "none": 0}), r"labels 'none', 'flu', .*, expected labels 'flu', 'tb', 'hiv'"),
    "other": (THREE.rename({"hiv": "HIV"}), r"labels 'HIV', 'flu', 'tb', expected labels 'hiv', 'flu', 'tb'"),
    "numbers": (pd.Series([1, 2, 3]), r"labels 0, 1, 2, expected labels 'flu', 'tb', 'hiv'"),
    "an array": (np.array([1, 2, 3]), r"labels 0, 1, 2, expected labels 'flu', 'tb', 'hiv'"),
    "a number's text": (pd.Series({"flu": 1, "tb": 2, 3: 3}), r"labels 3, 'flu', 'tb', expected labels 'hiv'"),
    "another shape": (pd.DataFrame({"flu": [1]}), r"shape \(1, 1\), expected \(3,\)"),
    "a dict": (dict(THREE), r"a dict with keys \['flu', 'tb', 'hiv'\], expected an array"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_set_of_labels_is_refused_and_named(name):
    other, words = OTHERS[name]
    with pytest.raises(ShapeMismatch, match=rf"^party 1: update: {words}"):
        summed(THREE, other, THREE)


def test_labels_where_an_array_has_none_are_refused():
    with pytest.raises(ShapeMismatch, match=r"^party 1: update: labels 'flu', 'tb', 'hiv', expected labels 0, 1, 2"):
        summed(np.array([1, 2, 3]), THREE, np.array([1, 2, 3]))


def test_many_labels_are_named_in_part():
    many = pd.Series(1, [f"code {i}" for i in range(100)])
    with pytest.raises(ShapeMismatch) as caught:
        summed(many, many.rename({"code 7": "code 07"}), many)
    assert "labels 'code 07', 'code 0'" in str(caught.value)
    assert "and 92 more, expected labels 'code 7', 'code 0'" in str(caught.value)
    assert len(str(caught.value)) < 400


UNUSABLE = {
    "twice": (pd.Series([1, 2], ["x", "x"]), ConfigError, "1 different labels for 2 entries: each needs its own"),
    "column twice": (pd.DataFrame([[1, 2]], ["r"], ["x", "x"]), ConfigError, "1 different labels for 2 entries"),
    "number twice": (pd.Series([1, 2], [0, 0]), ConfigError, "1 different labels for 2 entries"),
    "several levels": (pd.Series({("x", 1): 1}), ConfigError, r"label is \('x', 1\): expected a text or"),
    "missing": (pd.Series([1, 2], ["x", None]), ConfigError, "label is nan: expected a text or"),
    "missing number": (pd.Series([1, 2], [1, np.nan]), ConfigError, "label is 1.0: expected a text or"),
    "truth values": (pd.Series([1, 2], [False, True]), ConfigError, "label is False: expected a text or"),
    "times": (pd.Series([1], pd.to_datetime(["2020-01-01"])), ConfigError, r"label is Timestamp\(.*: expected a text"),
    "no Unicode": (pd.Series([1], pd.Index(["\ud800"], dtype=object)), ConfigError, "is no valid Unicode text"),
    "texts": (pd.Series(["x", "y"]), BadDtype, "entries are (object|str)"),
    "dates": (pd.Series(pd.to_datetime(["2020-01-01"])), BadDtype, "entries are datetime64"),
    "objects": (pd.Series([1, None], dtype=object), BadDtype, "entries are object"),
    "floats beside integers": (
        pd.DataFrame({"x": [0.5], "n": [1]}),
        BadDtype,
        "columns are float64, int64: .* give a dict of columns",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_summed_by_label_is_refused(name):
    update, error, words = UNUSABLE[name]
    with pytest.raises(error, match=f"update: .*{words}"):
        Layout.of(update)


@pytest.mark.parametrize("dtype", ["Int64", "Int32", "Float64", "float32", "boolean", "bool", "Sparse[float64]"])
def test_dtypes_that_are_pandas_own(dtype):
    update = pd.Series([1, 0], ["x", "y"]).astype(dtype)
    assert summed(update, update[::-1], update).sum.to_dict() == {"x": 3, "y": 0}


@pytest.mark.parametrize("dtype", ["Int64", "Float64"])
def test_a_missing_value_is_no_number(dtype):
    with pytest.raises(NotFinite, match=r"update\[1\] is nan"):
        summed(*[pd.Series([1, None], ["x", "y"], dtype=dtype)] * 3)


def test_categories_are_labels():
    seen = pd.Series(pd.Categorical(["x", "y", "y"], ["y", "x", "never"]))
    assert summed(*[seen.value_counts()] * 3).sum.to_dict() == {"y": 6, "x": 3, "never": 0}


def test_an_awkward_label_is_one_like_any_other():
    update = pd.Series({"_mask": 1, "index": 2, "columns": 3})
    assert summed(update, update[::-1], update).sum.to_dict() == {"_mask": 3, "index": 6, "columns": 9}


class _Sign:
    def __init__(self, name):
        self.name = name

    def __get__(self, instance, owner=None):
        return self if instance is None else [self.name]


@pytest.mark.parametrize("sign", ["columns", "coords", "index"])
def test_labelled_data_of_other_libraries_is_refused(sign):
    """As polars, pyarrow (`columns`), xarray (`coords`), dask or cuDF (`index`) would: an array of it has no labels."""
    kind = type("Frame", (), {sign: _Sign(sign), "__array__": lambda self, dtype=None, copy=None: np.ones(2)})
    words = re.escape(f"update: the labels of a {__name__}.Frame are not read")
    with pytest.raises(BadDtype, match=words):
        Layout.of(kind())
    with pytest.raises(BadDtype, match=words):
        summed(np.ones(2), kind(), np.ones(2))


def test_a_method_named_index_is_no_label():
    import array  # noqa: PLC0415

    assert summed(*[array.array("d", [0.5, 0.25])] * 3).mean.shape == (2,)


def test_labels_decide_which_vector_an_update_is():
    def digest(like):
        return secagg.Session.create([0, 1], like).encoding.digest

    assert digest(THREE) == digest(THREE * 7)
    assert (
        len({digest(THREE), digest(THREE[::-1]), digest(THREE.to_numpy()), digest(THREE.reset_index(drop=True))}) == 4
    )


@pytest.mark.parametrize(
    "axes",
    [(("x",),), (("x", "x"),), (("x", "y", "z"),), (None, None)],
    ids=["fewer", "twice", "more", "another axis"],
)
def test_hostile_labels_are_refused(axes):
    layout = Layout(Labelled((2,), "int64", "array", axes))
    with pytest.raises(ConfigError, match=r"update: .*labels"):
        codec.decode(codec.encode(layout), Layout).check()


def test_labels_of_what_is_no_array_are_refused():
    with pytest.raises(ConfigError, match="labels of a tensor"):
        Layout(Labelled((2,), "int64", "tensor", (("x", "y"),))).check()


def test_a_server_without_pandas_gets_dicts_by_label_and_loads_none():
    like = {
        "s": pd.Series({"x": 1, "y": 2}),
        "f": pd.DataFrame([[1, 2]], ["r"], ["c", "d"]),
        "columns": pd.DataFrame({"c": [1, 2]}),
        "rows": pd.DataFrame([[1, 2]], ["r"]),
        "n": pd.DataFrame([[1, 2]]),
    }
    code = """
import sys
import secagg
encoding = secagg.Session.from_bytes(bytes.fromhex(sys.argv[1])).encoding
total = encoding.ring.zeros(encoding.dim)
total[:10] = range(10)
found = encoding.decode(total, 1).sum
print({name: getattr(part, "tolist", lambda: part)() for name, part in found.items()})
print("pandas" in sys.modules)
"""
    session = secagg.Session.create([0, 1], like)
    done = subprocess.run(
        [sys.executable, "-c", code, session.to_bytes().hex()], check=True, capture_output=True, text=True
    )
    found, loaded = done.stdout.splitlines()
    assert loaded == "False"
    parts = eval(found, {"np": np, "array": np.array})
    assert parts["s"] == {"x": 0, "y": 1}
    assert parts["f"] == {"c": {"r": 2}, "d": {"r": 3}}
    assert parts["columns"]["c"].tolist() == [4, 5]
    assert parts["rows"] == [{"r": 6}, {"r": 7}]
    assert parts["n"] == [[8, 9]]


def test_a_module_called_pandas_that_is_another(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", types.ModuleType("pandas"))
    assert Layout.of(np.ones(2)).root == Leaf((2,), "float64", "array")
