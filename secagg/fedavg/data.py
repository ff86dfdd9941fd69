"""Patients from scikit-learn's wheel or from a CSV file: columns, a binary outcome, maybe hospitals."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

MAX_CODES = 12
"""Most different numbers in a column of codes (1, 2, 3, 3a); more are measurements, and text among them a mistake."""

MAX_NAMED = 5

MISSING = frozenset(
    ["", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan", "null", "NULL", "None", "#N/A N/A"]
)
"""Cells of a feature that hold no value. In target, site and id columns only the empty cell is missing."""

TRUTH = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}

SEPARATORS = (";", "\t", "|")
"""What stands where a comma is expected, most often."""


@dataclass(frozen=True)
class Table:
    """All patients of a source, before they are spread over hospitals.

    Attributes:
        source: its name or path, for messages.
        features: one column per feature as read: numbers (NaN is missing) or text (NaN or None is missing).
        outcome: (n,) uint8, 1 is positive.
        classes: (negative, positive) as the source names them.
        sites: (n,) names of hospitals, or None without a site column.
        ids: (n,) ids of records, or None without an id column.
        notes: what a person should look at, one sentence each.
    """

    source: str
    features: pd.DataFrame = field(repr=False)
    outcome: NDArray[np.uint8] = field(repr=False)
    classes: tuple[str, str]
    sites: NDArray[np.str_] | None = field(repr=False)
    ids: NDArray[np.str_] | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()


def load(
    source: str | Path = BREAST_CANCER,
    *,
    target: str | None = None,
    site: str | None = None,
    record_id: str | None = None,
    drop: Sequence[str] = (),
) -> Table:
    """Read patients.

    Args:
        source: "breast-cancer", or the path of a CSV file: UTF-8, commas, a header line. Blanks around names
            and cells count for nothing; a column without a name is called by its place, "column 1".
        target: the CSV's outcome column: two values, the greater one (of numbers, or of texts in code-point
            order: "yes" over "no", "malignant" over "benign") is positive.
        site: the CSV's column of hospital names.
        record_id: the CSV's column that tells records apart.
        drop: columns to leave out.

    Raises:
        ConfigError: no such file or column, no target named, a column named for a set that has none, or one
            column named for two purposes.
        InputError: the file is no table, or its content cannot be used; names file, column and row (rows
            are counted from 1 without the header and without blank lines).
    """
    roles = {"target": target, "site": site, "id": record_id}
    if str(source) == BREAST_CANCER:
        return _breast_cancer(roles, drop)
    name = str(source)
    cells = _read_csv(Path(source))
    if target is None:
        raise ConfigError(f"{name}: no target column is named, expected one of {_listed(cells.columns)}")
    named = _require_columns(name, cells, roles, drop)
    texts = cells.drop(columns=named)
    features = pd.DataFrame({column: _typed(name, texts[column]) for column in texts.columns}, index=texts.index)
    _check_features(name, features)
    outcome, classes = _outcome(name, cells[target])
    sites = None if site is None else _names(name, "site", cells[site])
    ids = None if record_id is None else _names(name, "id", cells[record_id])
    return Table(name, features, outcome, classes, sites, ids, tuple(_identifiers(features)))


def _breast_cancer(roles: Mapping[str, str | None], drop: Sequence[str]) -> Table:
    if any(column is not None for column in roles.values()):
        raise ConfigError(f"{BREAST_CANCER}: has its own target and no sites or ids; expected none to be named")
    bunch = load_breast_cancer(as_frame=True)
    outcome = np.asarray(1 - bunch.target, dtype=np.uint8)  # the wheel says 1 for benign
    features = bunch.data.drop(columns=_require_columns(BREAST_CANCER, bunch.data, roles, drop))
    _check_features(BREAST_CANCER, features)
    return Table(BREAST_CANCER, features, outcome, ("benign", "malignant"), None)


def _read_csv(path: Path) -> pd.DataFrame:
    """(n, columns) cells as text, stripped; every row as long as the header."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [
                [cell.strip() for cell in row] for row in csv.reader(file, skipinitialspace=True, strict=True) if row
            ]
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file, expected {BREAST_CANCER!r} or the path of a CSV file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}), expected a CSV file") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no CSV in UTF-8 ({error})") from None
    if not rows:
        raise InputError(f"{path}: is empty, expected a header line and rows")
    header = _header(path, rows.pop(0))
    if not rows:
        raise InputError(f"{path}: has a header and no rows, expected one row per patient")
    _check_lengths(path, rows, len(header))
    return pd.DataFrame(rows, columns=header, dtype=object)


def _header(path: Path, cells: list[str]) -> list[str]:
    """Names of the columns, each once."""
    if len(cells) == 1:
        for separator in SEPARATORS:
            if separator in cells[0]:
                raise InputError(f"{path}: the separator seems to be {separator!r}, expected ','")
    names = [cell or f"column {place}" for place, cell in enumerate(cells, start=1)]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise InputError(f"{path}: the header names {name!r} twice, expected different columns")
    return names


def _check_lengths(path: Path, rows: list[list[str]], columns: int) -> None:
    for number, row in enumerate(rows, start=1):
        if len(row) != columns:
            raise InputError(f"{path}: row {number}: {len(row)} cells, expected {columns} as in the header")


def _require_columns(
    source: str, frame: pd.DataFrame, roles: Mapping[str, str | None], drop: Sequence[str]
) -> list[str]:
    """The columns that are no features: those with a role, and those left out."""
    role_of: dict[str, str] = {}
    for role, column in [*roles.items(), *(("drop", name) for name in dict.fromkeys(drop))]:
        if column is None:
            continue
        if column not in frame.columns:
            raise ConfigError(f"{source}: no {role} column {column!r}, expected one of {_listed(frame.columns)}")
        if column in role_of:
            raise ConfigError(f"{source}: column {column!r} is named as {role_of[column]} and as {role}, expected one")
        role_of[column] = role
    return list(role_of)


def _typed(source: str, cells: pd.Series) -> pd.Series:
    """A feature's cells as numbers, truth values or text; None or NaN is missing.

    Raises:
        InputError: most cells are numbers, and too many different ones for codes, but some cell is none.
    """
    present = ~cells.isin(MISSING)
    numbers = pd.to_numeric(cells.where(present), errors="coerce").astype(np.float64)
    is_number = numbers.notna() & present
    if is_number.sum() == present.sum():
        return numbers
    if cells[present].isin(TRUTH).all():
        return cells.where(present).map(TRUTH).astype(np.float64)
    if 2 * is_number.sum() > present.sum() and numbers.nunique() > MAX_CODES:
        first = int(np.argmax((present & ~is_number).to_numpy()))
        raise InputError(
            f"{source}: column {cells.name!r}, row {first + 1}: no number, "
            "expected one as in most rows, or an empty cell"
        )
    return cells.where(present, None)


def _check_features(source: str, features: pd.DataFrame) -> None:
    if features.shape[1] == 0:
        raise InputError(f"{source}: has no column left besides those named, expected at least one feature")
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
            f"at most {MAX_CATEGORIES} categories; --drop {column.name!r} leaves it out"
        )


def _identifiers(features: pd.DataFrame) -> Iterator[str]:
    """A note on each column of whole numbers that are all different: it may number the patients."""
    for name in features.columns:
        column = features[name]
        if not is_numeric(column):
            continue
        values = column.dropna().to_numpy(dtype=np.float64)
        if len(values) > 1 and (values == np.floor(values)).all() and len(np.unique(values)) == len(values):
            yield (
                f"column {name!r}: whole numbers, all different; if it numbers the patients, --drop {name!r} leaves "
                f"it out and --id {name!r} tells repeated records by it"
            )


def _outcome(source: str, cells: pd.Series) -> tuple[NDArray[np.uint8], tuple[str, str]]:
    _refuse_missing(source, "target", cells)
    numbers = pd.to_numeric(cells, errors="coerce").astype(np.float64)
    column = cells if numbers.isna().any() else numbers
    values = sorted(column.unique().tolist())
    if len(values) == 1:
        raise InputError(
            f"{source}: target column {cells.name!r}: only {_plain(values[0])!r} in all rows, expected two classes"
        )
    if len(values) > 2:
        third = int(np.argmax(~column.isin(column.unique()[:2]).to_numpy()))
        # Few values are outcomes, which help when told; many may be names of patients.
        told = f" ({_listed(map(_plain, values))})" if len(values) <= MAX_NAMED else ""
        raise InputError(
            f"{source}: target column {cells.name!r}, row {third + 1}: a third value of {len(values)}{told}, "
            "expected exactly two"
        )
    positive = (column == values[1]).to_numpy(dtype=np.uint8)
    return positive, (_plain(values[0]), _plain(values[1]))


def _names(source: str, role: str, cells: pd.Series) -> NDArray[np.str_]:
    """(n,) texts of a column that has one in every row."""
    _refuse_missing(source, role, cells)
    return np.array(cells.tolist(), dtype=np.str_)


def _refuse_missing(source: str, role: str, cells: pd.Series) -> None:
    missing = (cells == "").to_numpy()
    if missing.any():
        raise InputError(
            f"{source}: {role} column {cells.name!r}, row {int(np.argmax(missing)) + 1}: no value "
            f"({int(missing.sum())} such rows), expected one in every row"
        )


def _plain(value: object) -> str:
    """A class as a person wrote it: 1.0 in a column of whole numbers is "1"."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _listed(names: Iterable[object]) -> str:
    texts = [repr(name) for name in names]
    rest = len(texts) - MAX_NAMED
    return ", ".join(texts[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")
