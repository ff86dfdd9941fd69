import numpy as np
import pytest

from secagg.errors import ConfigError, InputError
from secagg.fedavg.data import MAX_CATEGORIES, MAX_CODES, load
from secagg.fedavg.preparation import schema_of


def test_breast_cancer_is_the_published_set_with_malignant_as_positive():
    table = load()
    assert table.features.shape == (569, 30)
    assert table.classes == ("benign", "malignant")
    assert int(table.outcome.sum()) == 212  # Street et al. 1993: 357 benign, 212 malignant
    assert table.sites is None


def test_a_csv_gives_features_outcome_and_sites(csv):
    table = load(csv("age, sex, ill, clinic\n40, f, yes, 2\n, m, no, 10\n50, , no, 2\n"), target="ill", site="clinic")
    assert list(table.features.columns) == ["age", "sex"]
    assert table.features["age"].isna().tolist() == [False, True, False]
    assert table.features["sex"].isna().tolist() == [False, False, True]
    assert table.classes == ("no", "yes")
    assert table.outcome.tolist() == [1, 0, 0]
    assert table.sites.tolist() == ["2", "10", "2"]


@pytest.mark.parametrize(
    ("labels", "classes", "outcome"),
    [
        (["1", "0", "1"], ("0", "1"), [1, 0, 1]),
        (["10", "9", "9"], ("9", "10"), [1, 0, 0]),
        (["1.0", "2.0", "1.0"], ("1", "2"), [0, 1, 0]),
        (["True", "False", "True"], ("False", "True"), [1, 0, 1]),
        (["malignant", "benign", "benign"], ("benign", "malignant"), [1, 0, 0]),
    ],
)
def test_the_greater_label_is_positive(csv, labels, classes, outcome):
    table = load(csv("x,y\n" + "".join(f"{i},{label}\n" for i, label in enumerate(labels))), target="y")
    assert table.classes == classes
    assert table.outcome.tolist() == outcome
    assert table.outcome.dtype == np.uint8


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        ("", {"target": "y"}, InputError, "is empty, expected a header line"),
        ("x,y\n", {"target": "y"}, InputError, "has a header and no rows"),
        ("x,y\n1,2\n1,2,3\n", {"target": "y"}, InputError, "row 2: 3 cells, expected 2 as in the header"),
        ("x,y\n1,2,3\n1,2,3\n", {"target": "y"}, InputError, "row 1: 3 cells, expected 2"),
        ("x,y\n\n1,0\n\n2\n", {"target": "y"}, InputError, "row 2: 1 cells, expected 2"),
        ('x,y\n"1,0\n', {"target": "y"}, InputError, "is no CSV in UTF-8"),
        ("x;y\n1;0\n", {"target": "y"}, InputError, "the separator seems to be ';', expected ','"),
        ("x\ty\n1\t0\n", {"target": "y"}, InputError, r"the separator seems to be '\\t', expected ','"),
        ("x,y, x\n1,0,2\n", {"target": "y"}, InputError, "the header names 'x' twice"),
        ("x,y\n1,0\n", {"target": "y", "drop": ["z"]}, ConfigError, "no drop column 'z', expected one of"),
        ("x,y\n1,0\n", {"target": "y", "drop": ["y"]}, ConfigError, "'y' is named as target and as drop"),
        ("x,y\n1,0\n", {"target": "y", "record_id": "z"}, ConfigError, "no id column 'z'"),
        ("x,y,i\n1,0,a\n2,1,\n", {"target": "y", "record_id": "i"}, InputError, "id column 'i', row 2: no value"),
        ("x,y\n1,0\n", {"target": "y", "drop": ["x"]}, InputError, "no column left besides those named"),
        ("x,y\n1,0\n", {}, ConfigError, "no target column is named, expected one of 'x', 'y'"),
        ("x,y\n1,0\n", {"target": "z"}, ConfigError, "no target column 'z', expected one of 'x', 'y'"),
        ("x,y\n1,0\n", {"target": "y", "site": "z"}, ConfigError, "no site column 'z'"),
        ("x,y\n1,0\n", {"target": "y", "site": "y"}, ConfigError, "'y' is named as target and as site"),
        ("y\n1\n0\n", {"target": "y"}, InputError, "no column left besides those named"),
        ("x,y\n1,0\n2,0\n", {"target": "y"}, InputError, "target column 'y': only '0' in all rows"),
        (
            "x,y\n1,0\n2,1\n3,0\n4,2\n",
            {"target": "y"},
            InputError,
            r"'y', row 4: a third value of 3 \('0', '1', '2'\), expected exactly two",
        ),
        ("x,y\n1,0\n2,\n3,1\n", {"target": "y"}, InputError, "target column 'y', row 2: no value"),
        (
            "x,y,s\n1,0,a\n2,1,\n",
            {"target": "y", "site": "s"},
            InputError,
            "site column 's', row 2: no value",
        ),
        ("x,y\n1,0\ninf,1\n", {"target": "y"}, InputError, "column 'x', row 2: infinite"),
    ],
)
def test_bad_csv_is_named_by_file_column_and_row(csv, text, options, error, message):
    path = csv(text)
    with pytest.raises(error, match=message) as raised:
        load(path, **options)
    assert str(path) in str(raised.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "scan.csv"
    path.write_bytes(b"x,y\n\xff\xfe,1\n")
    with pytest.raises(InputError, match="is no CSV in UTF-8"):
        load(path, target="y")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.csv: no such file"):
        load(tmp_path / "nowhere.csv", target="y")


def test_a_folder_is_no_csv(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, target="y")


def test_identifiers_are_refused_as_categories_and_not_quoted(csv):
    rows = "".join(f"name-{i},{i % 2}\n" for i in range(MAX_CATEGORIES + 1))
    with pytest.raises(
        InputError, match=rf"column 'x': text with {MAX_CATEGORIES + 1} different values.*--drop 'x' leaves"
    ) as raised:
        load(csv("x,y\n" + rows), target="y")
    assert "name-" not in str(raised.value)


def test_identifiers_are_refused_as_outcomes_and_not_quoted(csv):
    rows = "".join(f"{i},name-{i}\n" for i in range(6))
    with pytest.raises(InputError, match=r"column 'y', row 3: a third value of 6, expected exactly two") as raised:
        load(csv("x,y\n" + rows), target="y")
    assert "name-" not in str(raised.value)


@pytest.mark.parametrize("role", ["target", "site", "record_id"])
def test_breast_cancer_has_no_columns_to_name(role):
    with pytest.raises(ConfigError, match="has its own target and no sites or ids"):
        load("breast-cancer", **{role: "y"})


def test_columns_are_left_out_of_either_source(csv):
    assert load("breast-cancer", drop=["mean area", "mean area"]).features.shape == (569, 29)
    with pytest.raises(ConfigError, match="breast-cancer: no drop column 'ages'"):
        load("breast-cancer", drop=["ages"])
    table = load(csv("a,b,c,y\n1,2,3,0\n1,2,3,1\n"), target="y", drop=["a", "c"])
    assert list(table.features.columns) == ["b"]


def test_blanks_around_names_and_cells_count_for_nothing(csv):
    table = load(csv(' x ,y,s\n 1 ,no ,Ward-5\n2, yes,Ward-5 \n3,no,"Ward-5\t"\n'), target="y", site="s")
    assert set(table.sites) == {"Ward-5"}
    assert table.classes == ("no", "yes")
    assert table.features["x"].tolist() == [1.0, 2.0, 3.0]


def test_words_for_nothing_are_values_in_target_and_site_and_missing_in_features(csv):
    table = load(csv("x,y,s\nNA,None,NA\n2,NA,None\n3,NA,nan\n"), target="y", site="s")
    assert table.classes == ("NA", "None")
    assert table.outcome.tolist() == [1, 0, 0]
    assert table.sites.tolist() == ["NA", "None", "nan"]
    assert table.features["x"].isna().tolist() == [True, False, False]


def test_a_typing_error_among_numbers_is_named_and_not_quoted(csv):
    rows = [f"{i}.5,{i % 2}" for i in range(MAX_CODES + 5)]
    rows[3] = "Jane,1"
    with pytest.raises(InputError, match="column 'x', row 4: no number, expected one as in most rows") as raised:
        load(csv("x,y\n" + "\n".join(rows)), target="y")
    assert "Jane" not in str(raised.value)


def test_codes_that_mix_numbers_and_text_are_categories(csv):
    table = load(csv("stage,y\n1,0\n2,1\n3,0\n3a,1\n"), target="y")
    assert schema_of(table).columns == {"stage": ("1", "2", "3", "3a")}


def test_truth_values_are_numbers(csv):
    table = load(csv("x,y\nTrue,0\nfalse,1\n,0\n"), target="y")
    np.testing.assert_array_equal(table.features["x"], [1.0, 0.0, np.nan])


def test_a_column_without_a_name_is_called_by_its_place(csv):
    table = load(csv(",x,y\n7,1,0\n7,2.5,1\n"), target="y")
    assert list(table.features.columns) == ["column 1", "x"]


def test_a_mark_at_the_start_of_the_file_is_no_part_of_a_name(csv):
    assert list(load(csv("\ufeffx,y\n1,0\n2,1\n"), target="y").features.columns) == ["x"]


@pytest.mark.parametrize(
    ("values", "noted"),
    [("1 2 3", True), ("1 2 2", False), ("1 2 3.5", False), ("9 NA 4", True), ("a b c", False), ("NA NA NA", False)],
)
def test_whole_numbers_that_are_all_different_are_noted(csv, values, noted):
    rows = [f"{value},{i % 2}" for i, value in enumerate(values.split())]
    notes = load(csv("x,y\n" + "\n".join(rows)), target="y").notes
    assert len(notes) == noted
    assert not noted or ("column 'x'" in notes[0] and "--drop 'x'" in notes[0])
