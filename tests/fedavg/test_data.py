import numpy as np
import pytest

from secagg.errors import ConfigError, InputError
from secagg.fedavg.data import MAX_CATEGORIES, load


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
        ("x,y\n1,2\n1,2,3\n", {"target": "y"}, InputError, "is no CSV.*line 3"),
        ("x,y\n1,2,3\n1,2,3\n", {"target": "y"}, InputError, "is no CSV"),
        ("x,y\n1,0\n", {}, ConfigError, "no target column is named, expected one of 'x', 'y'"),
        ("x,y\n1,0\n", {"target": "z"}, ConfigError, "no target column 'z', expected one of 'x', 'y'"),
        ("x,y\n1,0\n", {"target": "y", "site": "z"}, ConfigError, "no site column 'z'"),
        ("x,y\n1,0\n", {"target": "y", "site": "y"}, ConfigError, "'y' is named as target and as site"),
        ("y\n1\n0\n", {"target": "y"}, InputError, "no column besides target"),
        ("x,y\n1,0\n2,0\n", {"target": "y"}, InputError, "target column 'y': only 0 in all rows"),
        (
            "x,y\n1,0\n2,1\n3,0\n4,2\n",
            {"target": "y"},
            InputError,
            r"'y', row 4: a third value of 3 \(0, 1, 2\), expected exactly two",
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
    with pytest.raises(InputError, match=rf"column 'x': text with {MAX_CATEGORIES + 1} different values") as raised:
        load(csv("x,y\n" + rows), target="y")
    assert "name-" not in str(raised.value)


def test_identifiers_are_refused_as_outcomes_and_not_quoted(csv):
    rows = "".join(f"{i},name-{i}\n" for i in range(6))
    with pytest.raises(InputError, match=r"column 'y', row 3: a third value of 6, expected exactly two") as raised:
        load(csv("x,y\n" + rows), target="y")
    assert "name-" not in str(raised.value)


def test_breast_cancer_has_no_columns_to_name():
    with pytest.raises(ConfigError, match="has its own target and no sites"):
        load("breast-cancer", target="y")
