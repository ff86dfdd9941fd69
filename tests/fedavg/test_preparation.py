import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from secagg.errors import InputError
from secagg.fedavg import Cohort, LogisticRegression, Patients, Training, loop, statistics
from secagg.fedavg.data import Table, load
from secagg.fedavg.preparation import Preparation, Site, encode, pooled, schema_of
from secagg.fedavg.secure import Sums
from secagg_protocols import PairwiseMasking

TEXT = """age,sex,smoker,ill
40,f,True,1
40,f,True,1
40,f,True,0
,m,False,0
50,,True,1
60,m,False,0
70,f,False,1
70,f,False,1
"""


def read(csv) -> Table:
    return load(csv(TEXT), target="ill")


def test_features_are_columns_and_their_categories(csv):
    assert schema_of(read(csv)).features == ("age", "sex=f", "sex=m", "smoker")


def test_encoding_marks_what_is_missing(csv):
    table = read(csv)
    assert_array_equal(
        encode(schema_of(table), table.features)[2:6],
        [[40, 1, 0, 1], [np.nan, 0, 1, 0], [50, np.nan, np.nan, 1], [60, 0, 1, 0]],
    )


def test_a_category_that_the_schema_lacks_is_zero_everywhere(csv):
    schema = schema_of(read(csv))
    frame = pd.DataFrame({"age": [1.0], "sex": ["x"], "smoker": [True]})
    assert_array_equal(encode(schema, frame), [[1, 0, 0, 1]])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"age": [1.0], "smoker": [True]}, "column 'sex' of the schema is absent"),
        ({"age": ["old"], "sex": ["f"], "smoker": [True]}, "column 'age' holds text, expected numbers"),
    ],
)
def test_columns_that_do_not_fit_the_schema_are_refused(csv, frame, message):
    with pytest.raises(InputError, match=message):
        encode(schema_of(read(csv)), pd.DataFrame(frame))


def prepared(csv, rows=range(8), text=TEXT, record_id=None, **options):
    table = load(csv(text), target="ill", record_id=record_id)
    agreed = Preparation(schema_of(table), test_fraction=0.3, **options)
    return agreed.site(table, "clinic", np.array(rows), np.random.default_rng(0))


IDS = ("p1", "p1", "p2", "p3", "p3", "p4", "p5", "p6")
TEXT_WITH_IDS = "\n".join(f"{first},{line}" for first, line in zip(("id", *IDS), TEXT.splitlines(), strict=True))


def test_patients_who_are_alike_are_kept_and_counted(csv):
    site = prepared(csv)
    assert (site.duplicates, site.identical) == (0, 2)  # the first row again, the last row again, same outcome
    assert site.missing == 2
    assert len(site.train.y) + len(site.test.y) == 8


def test_identical_rows_go_on_request(csv):
    site = prepared(csv, drop_duplicates=True)
    assert (site.duplicates, site.identical) == (2, 0)
    assert len(site.train.y) + len(site.test.y) == 6


def test_rows_with_the_same_id_are_one_record_and_the_first_is_kept(csv):
    site = prepared(csv, text=TEXT_WITH_IDS, record_id="id")
    assert (site.duplicates, site.identical) == (2, 1)  # p5 and p6 are alike
    ages = np.concatenate([site.train.x[:, 0], site.test.x[:, 0]])
    assert sorted(ages[~np.isnan(ages)].tolist()) == [40, 40, 60, 70, 70]  # p3's first row has no age
    assert site.train.x.shape[1] == len(schema_of(read(csv)).features)  # the id is no feature


def test_ids_and_identical_rows_can_be_removed_together(csv):
    site = prepared(csv, text=TEXT_WITH_IDS, record_id="id", drop_duplicates=True)
    assert (site.duplicates, site.identical) == (3, 0)


def test_a_hospital_does_not_see_the_rows_of_others(csv):
    site = prepared(csv, [1, 3, 4, 5, 6])
    assert site.identical == 0
    records = prepared(csv, [1, 3, 5, 6, 7], text=TEXT_WITH_IDS, record_id="id")  # p1 and p3 have rows elsewhere
    assert records.duplicates == 0


def test_a_hospital_left_with_too_few_patients_is_named(csv):
    with pytest.raises(InputError, match="hospital 'clinic' has 3 patients, expected at least 4"):
        prepared(csv, [0, 1, 3, 6, 7], drop_duplicates=True)


def test_the_summary_counts_patients_and_positives(csv):
    site = prepared(csv)
    summary = site.summary()
    assert (summary.name, summary.duplicates, summary.identical, summary.missing) == ("clinic", 0, 2, 2)
    assert (summary.train, summary.test) == (len(site.train.y), len(site.test.y))
    assert summary.positives_train + summary.positives_test == 5


ROW = 86421.5


def holders_of_rows():
    """Everything that keeps patients' rows, holding a number that nothing else has."""
    x, y = np.full((4, 1), ROW), np.zeros(4)
    some, features = Patients(x, y), pd.DataFrame({"a": x[:, 0]})
    params, entropy = {"w": x}, b"86421.5".__mul__
    sums, rng = Sums(PairwiseMasking(), (1, 1000), 0.1, entropy), np.random.default_rng(0)
    return [
        some,
        Site("clinic", some, some, 0, 0),
        Table("made up", features, np.zeros(4, np.uint8), ("no", "yes"), np.array(["86421.5"] * 4)),
        Cohort({"clinic": some}, some),
        sums,
        loop._Loop(LogisticRegression(), Cohort({"clinic": some}, some), sums, Training(), params, params),
        statistics._Tries({"clinic": 4}, sums, rng, print),
    ]


@pytest.mark.parametrize("holder", holders_of_rows(), ids=lambda holder: type(holder).__name__)
def test_no_repr_shows_a_patient_s_row(holder):
    assert "86421" not in repr(holder)
    assert "array" not in repr(holder)


def test_pooled_statistics_are_numpy_s_over_present_values():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(50, 4)) * [1e-3, 1, 1e5, 1] + [0, 7, 1e5, 3]
    x[rng.random(x.shape) < 0.2] = np.nan
    result = pooled(x)
    assert_allclose(result.mean, np.nanmean(x, axis=0), rtol=1e-13)
    assert_allclose(result.variance, np.nanvar(x, axis=0), rtol=1e-12)
    assert not result.constant.any()
    standard = result.apply(x)
    assert_array_equal(standard[np.isnan(x)], 0.0)
    assert_allclose(standard[~np.isnan(x)], ((x - result.mean) / np.sqrt(result.variance))[~np.isnan(x)])


def test_constant_and_empty_columns_become_zero():
    x = np.array([[0.1, np.nan, 1.0], [0.1, np.nan, 2.0], [np.nan, np.nan, 4.0]] * 10)
    result = pooled(x)
    assert result.constant.tolist() == [True, True, False]
    other = result.apply(np.array([[5.0, 5.0, 5.0]]))
    assert_array_equal(other[0, :2], 0.0)
    assert other[0, 2] != 0
