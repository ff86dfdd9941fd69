"""What a hospital does with its own rows before any model sees them, and standardisation.

Each hospital works alone: it keeps one row per record, splits off its held-out patients, and turns columns
into numbers by a schema that all share. Rows with the same id are one record; rows with the same values are
not, for two patients can be alike, so these are counted and only removed on request. The names of columns and
of categories travel in that schema: they are public metadata, agreed before training, like the model's
architecture. A missing number stays missing until `Standardisation.apply` puts the mean there, which is zero on
the standardised scale: no hospital needs to know the others' mean to fill it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secagg.errors import InputError
from secagg.fedavg.data import Table, is_numeric
from secagg.fedavg.history import SiteSummary
from secagg.fedavg.partition import Rows, hold_out, require_patients

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Patients:
    """Inputs and outcomes, which its repr does not show.

    Attributes:
        x: (n, d) float64; NaN is missing, until standardised.
        y: (n,) float64 of 0 and 1.
    """

    x: Array = field(repr=False)
    y: Array = field(repr=False)


@dataclass(frozen=True)
class Cohort:
    """The hospitals' patients, standardised.

    Attributes:
        hospitals: {name: training patients}.
        held_out: everybody's patients to judge models on.
    """

    hospitals: Mapping[str, Patients] = field(repr=False)
    held_out: Patients = field(repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """{hospital: its training patients}."""
        return {name: len(patients.y) for name, patients in self.hospitals.items()}


@dataclass(frozen=True)
class Schema:
    """Public description of the columns.

    Attributes:
        columns: {column: None for numbers, or its categories in order}.
    """

    columns: dict[str, tuple[str, ...] | None]

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the d inputs, in order: "column", or "column=category" for each category."""
        names: list[str] = []
        for column, categories in self.columns.items():
            names += [column] if categories is None else [f"{column}={category}" for category in categories]
        return tuple(names)


def schema_of(table: Table) -> Schema:
    """Read columns and categories off a table; in a deployment the hospitals agree on them beforehand."""
    columns: dict[str, tuple[str, ...] | None] = {}
    for name in table.features.columns:
        column = table.features[name]
        columns[str(name)] = None if is_numeric(column) else tuple(sorted(set(column.dropna().astype(str))))
    return Schema(columns)


def encode(schema: Schema, frame: pd.DataFrame) -> Array:
    """Turn columns into inputs.

    Args:
        schema: the shared description.
        frame: n rows with the schema's columns.

    Returns:
        (n, d) float64 in the order of `schema.features`. A missing number is NaN; a missing category is NaN
        in all inputs of its column; a category that the schema does not have is zero in all of them.

    Raises:
        InputError: a column of the schema is absent, or holds text where the schema has numbers.
    """
    parts: list[Array] = []
    for name, categories in schema.columns.items():
        if name not in frame.columns:
            raise InputError(f"column {name!r} of the schema is absent")
        column = frame[name]
        if categories is not None:
            parts.append(_one_hot(column, categories))
        elif is_numeric(column):
            parts.append(column.to_numpy(dtype=np.float64, na_value=np.nan)[:, None])
        else:
            raise InputError(f"column {name!r} holds text, expected numbers as the schema says")
    return np.hstack(parts)


def _one_hot(column: "pd.Series[str]", categories: tuple[str, ...]) -> Array:
    missing = column.isna().to_numpy()
    texts = column.astype(str).to_numpy(dtype=object)
    hot: Array = np.equal(texts[:, None], np.array(categories, dtype=object)).astype(np.float64)
    hot[missing] = np.nan
    return hot


@dataclass(frozen=True)
class Site:
    """One hospital's own patients, prepared but not standardised.

    Attributes:
        name: of the hospital.
        train: patients to learn from.
        test: held-out patients.
        duplicates: rows removed: those of a record that stood there before, or identical ones on request.
        identical: rows kept that equal an earlier kept row in features and outcome.
        missing: empty cells of the kept rows, all columns together.
    """

    name: str
    train: Patients = field(repr=False)
    test: Patients = field(repr=False)
    duplicates: int
    missing: int
    identical: int = 0

    def summary(self) -> SiteSummary:
        """Counts for the report."""
        return SiteSummary(
            name=self.name,
            train=len(self.train.y),
            test=len(self.test.y),
            positives_train=int(self.train.y.sum()),
            positives_test=int(self.test.y.sum()),
            duplicates=self.duplicates,
            missing=self.missing,
            identical=self.identical,
        )


@dataclass(frozen=True)
class Preparation:
    """What all hospitals do with their rows, agreed beforehand.

    Attributes:
        schema: the shared description of the columns.
        test_fraction: share of a hospital's patients to hold out, in (0, 1).
        drop_duplicates: whether identical rows are removed.
    """

    schema: Schema
    test_fraction: float
    drop_duplicates: bool = False

    def site(self, table: Table, name: str, rows: Rows, rng: np.random.Generator) -> Site:
        """One hospital, prepared from its own rows alone.

        Args:
            table: where the rows stand.
            name: of the hospital.
            rows: its row numbers in the table.
            rng: of the split.

        Raises:
            InputError: too few patients are left without the duplicates, or the columns are not the schema's.
        """
        records = rows if table.ids is None else rows[~pd.Series(table.ids[rows]).duplicated().to_numpy()]
        repeats = _identical(table, records)
        kept = records[~repeats] if self.drop_duplicates else records
        require_patients(table.source, name, len(kept))
        frame, outcome = table.features.iloc[kept], table.outcome[kept]
        x, y = encode(self.schema, frame), outcome.astype(np.float64)
        train, test = hold_out(outcome, self.test_fraction, rng)
        return Site(
            name,
            Patients(x[train], y[train]),
            Patients(x[test], y[test]),
            duplicates=len(rows) - len(kept),
            missing=int(frame[list(self.schema.columns)].isna().to_numpy().sum()),
            identical=0 if self.drop_duplicates else int(repeats.sum()),
        )


def _identical(table: Table, rows: Rows) -> NDArray[np.bool_]:
    """(n,) which of these rows equal an earlier one of them; the same inputs with another outcome do not."""
    whole = table.features.iloc[rows].copy()
    whole.insert(0, "", table.outcome[rows], allow_duplicates=True)
    return whole.duplicated().to_numpy(dtype=np.bool_)


@dataclass(frozen=True)
class Standardisation:
    """Mean and variance per feature, over the present values.

    Attributes:
        mean: (d,) float64.
        variance: (d,) float64 >= 0, of the population (divided by the count).
        mean_bound: (d,) float64 >= 0, largest possible error of `mean` against the exact pooled one.
        variance_bound: (d,) float64 >= 0, likewise for `variance`.
        constant: (d,) bool, features with no present value, or whose variance is zero within its bound.
    """

    mean: Array
    variance: Array
    mean_bound: Array
    variance_bound: Array
    constant: NDArray[np.bool_]

    def apply(self, x: Array) -> Array:
        """Standardise (n, d) inputs: missing values and constant features become exactly zero."""
        scale = np.sqrt(np.where(self.constant, 1.0, self.variance))
        standard = (x - self.mean) / scale
        standard[np.isnan(standard) | self.constant] = 0.0
        return standard

    def of(self, patients: Patients) -> Patients:
        """The same patients, their inputs standardised."""
        return Patients(self.apply(patients.x), patients.y)


def pooled(x: Array) -> Standardisation:
    """Standardisation from patients in one place: a hospital alone, or all of them centralized.

    Args:
        x: (n, d) float64, n >= 1, NaN is missing.
    """
    present = ~np.isnan(x)
    count = np.maximum(present.sum(axis=0), 1)
    mean = np.where(present, x, 0.0).sum(axis=0) / count
    variance = (np.where(present, x - mean, 0.0) ** 2).sum(axis=0) / count
    greatest = np.where(present, x, -np.inf).max(axis=0)
    least = np.where(present, x, np.inf).min(axis=0)
    nothing = np.zeros_like(mean)
    return Standardisation(mean, variance, nothing, nothing, constant=greatest <= least)
