"""Patients from scikit-learn's wheel or from a CSV file: columns, a binary outcome, maybe hospitals."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer

from secagg.errors import ConfigError, InputError

BREAST_CANCER = "breast-cancer"
"""Wisconsin diagnostic breast cancer (Street, Wolberg, Mangasarian 1993): 569 patients, 30 features."""

MAX_CATEGORIES = 64
"""Most values of a text column; a column with more holds identifiers or free text, not categories."""

MAX_NAMED = 5


@dataclass(frozen=True)
class Table:
    """All patients of a source, before they are spread over hospitals.

    Attributes:
        source: its name or path, for messages.
        features: one column per feature as read: numbers (NaN is missing) or text (NaN or None is missing).
        outcome: (n,) uint8, 1 is positive.
        classes: (negative, positive) as the source names them.
        sites: (n,) names of hospitals, or None without a site column.
    """

    source: str
    features: pd.DataFrame = field(repr=False)
    outcome: NDArray[np.uint8] = field(repr=False)
    classes: tuple[str, str]
    sites: NDArray[np.str_] | None = field(repr=False)


def load(source: str | Path = BREAST_CANCER, *, target: str | None = None, site: str | None = None) -> Table:
    """Read patients.

    Args:
        source: "breast-cancer", or the path of a CSV file with a header line.
        target: the CSV's outcome column: two values, the greater one (of numbers, or of texts in code-point
            order: "yes" over "no", "malignant" over "benign") is positive.
        site: the CSV's column of hospital names.

    Raises:
        ConfigError: no such file or column, no target named, or a column named for a set that has none.
        InputError: the file is no table, or its content cannot be used; names file, column and row (rows
            are counted from 1 without the header).
    """
    if str(source) == BREAST_CANCER:
        if target is not None or site is not None:
            raise ConfigError(f"{BREAST_CANCER}: has its own target and no sites; expected neither to be named")
        return _breast_cancer()
    name = str(source)
    frame = _read_csv(Path(source))
    if target is None:
        raise ConfigError(f"{name}: no target column is named, expected one of {_listed(frame.columns)}")
    _require_columns(name, frame, {"target": target, "site": site})
    features = frame.drop(columns=[target] if site is None else [target, site])
    _check_features(name, features)
    outcome, classes = _outcome(name, frame[target])
    return Table(name, features, outcome, classes, None if site is None else _sites(name, frame[site]))


def _breast_cancer() -> Table:
    bunch = load_breast_cancer(as_frame=True)
    outcome = np.asarray(1 - bunch.target, dtype=np.uint8)  # the wheel says 1 for benign
    return Table(BREAST_CANCER, bunch.data, outcome, ("benign", "malignant"), None)


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            frame = pd.read_csv(path, skipinitialspace=True, index_col=False, low_memory=False)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file, expected {BREAST_CANCER!r} or the path of a CSV file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}), expected a CSV file") from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{path}: is empty, expected a header line and rows") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no CSV in UTF-8 ({str(error).strip()})") from None
    if frame.empty:
        raise InputError(f"{path}: has a header and no rows, expected one row per patient")
    return frame


def _require_columns(source: str, frame: pd.DataFrame, named: dict[str, str | None]) -> None:
    for role, column in named.items():
        if column is not None and column not in frame.columns:
            raise ConfigError(f"{source}: no {role} column {column!r}, expected one of {_listed(frame.columns)}")
    if named["target"] == named["site"]:
        raise ConfigError(f"{source}: column {named['site']!r} is named as target and as site, expected two")


def _check_features(source: str, features: pd.DataFrame) -> None:
    if features.shape[1] == 0:
        raise InputError(f"{source}: has no column besides target and site, expected at least one feature")
    for name in features.columns:
        column = features[name]
        if is_numeric(column):
            _check_numbers(source, column)
        else:
            _check_categories(source, column)


def is_numeric(column: pd.Series) -> bool:
    """Whether a column holds numbers (or truth values); everything else is text with categories."""
    return pd.api.types.is_numeric_dtype(column.dtype)


def _check_numbers(source: str, column: pd.Series) -> None:
    infinite = np.isinf(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if infinite.any():
        where = int(np.argmax(infinite)) + 1
        raise InputError(
            f"{source}: column {column.name!r}, row {where}: infinite, expected a finite number or an empty cell"
        )


def _check_categories(source: str, column: pd.Series) -> None:
    values = column.dropna().astype(str)
    if values.nunique() > MAX_CATEGORIES:
        # What may be names of patients is not quoted.
        raise InputError(
            f"{source}: column {column.name!r}: text with {values.nunique()} different values, expected numbers or "
            f"at most {MAX_CATEGORIES} categories"
        )


def _outcome(source: str, column: pd.Series) -> tuple[NDArray[np.uint8], tuple[str, str]]:
    _refuse_missing(source, "target", column)
    values = sorted(column.unique().tolist())
    if len(values) == 1:
        raise InputError(
            f"{source}: target column {column.name!r}: only {values[0]!r} in all rows, expected two classes"
        )
    if len(values) > 2:
        third = int(np.argmax(~column.isin(column.unique()[:2]).to_numpy()))
        # Few values are outcomes, which help when told; many may be names of patients.
        told = f" ({_listed(values)})" if len(values) <= MAX_NAMED else ""
        raise InputError(
            f"{source}: target column {column.name!r}, row {third + 1}: a third value of {len(values)}{told}, "
            "expected exactly two"
        )
    positive = (column == values[1]).to_numpy(dtype=np.uint8)
    return positive, (_plain(values[0]), _plain(values[1]))


def _sites(source: str, column: pd.Series) -> NDArray[np.str_]:
    _refuse_missing(source, "site", column)
    return np.array([_plain(value) for value in column.tolist()], dtype=np.str_)


def _refuse_missing(source: str, role: str, column: pd.Series) -> None:
    missing = column.isna().to_numpy()
    if missing.any():
        raise InputError(
            f"{source}: {role} column {column.name!r}, row {int(np.argmax(missing)) + 1}: no value "
            f"({int(missing.sum())} such rows), expected one in every row"
        )


def _plain(value: object) -> str:
    """A class or hospital as a person wrote it: 1.0 in a column of whole numbers is "1"."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _listed(names: Iterable[object]) -> str:
    texts = [repr(name) for name in names]
    rest = len(texts) - MAX_NAMED
    return ", ".join(texts[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")
