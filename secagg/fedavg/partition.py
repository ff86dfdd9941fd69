"""Spread patients over hospitals: by a site column, alike, unevenly, or with skewed outcomes."""

import math

import numpy as np
from numpy.typing import NDArray

from secagg.errors import ConfigError, InputError
from secagg.fedavg.data import Table
from secagg.fedavg.settings import MIN_COHORT, Partition

MIN_TRAIN = 3
"""Fewest training patients of a hospital."""

MIN_TEST = 1
"""Fewest held-out patients of a hospital."""

MIN_PATIENTS = MIN_TRAIN + MIN_TEST

DRAWS = 1000
"""Dirichlet draws before a skew that starves some hospital is given up."""

Rows = NDArray[np.intp]


def spread(
    table: Table, how: Partition, *, clients: int | None, alpha: float | None, rng: np.random.Generator
) -> dict[str, Rows]:
    """Assign every patient to one hospital.

    Args:
        table: all patients.
        how: "site" follows the table's site column; "iid" shuffles and cuts equal parts; "uneven" cuts parts
            whose sizes grow linearly (the last of n hospitals is about n times the first); "dirichlet"
            draws, for each outcome, the hospitals' shares from Dir(alpha) (Hsu, Qi, Brown 2019).
        clients: number of hospitals, >= 3; None is enough for "site", which takes the column's.
        alpha: concentration of "dirichlet", > 0; None is enough for the others.
        rng: of the shuffle and the draw.

    Returns:
        {hospital: sorted row numbers}; each hospital has at least `MIN_PATIENTS` of them.

    Raises:
        ConfigError: too few patients for so many hospitals, no site column, or `clients` is not its number.
        InputError: a site, or all of them together, are too few.
    """
    if how == "site":
        return _by_site(table, clients)
    assert clients is not None
    patients = len(table.outcome)
    if patients < clients * MIN_PATIENTS:
        raise ConfigError(
            f"{table.source}: {patients} patients over {clients} hospitals, expected at least "
            f"{clients * MIN_PATIENTS} ({MIN_TRAIN} to train and {MIN_TEST} held out at each)"
        )
    if how == "dirichlet":
        assert alpha is not None
        parts = _dirichlet(table, clients, alpha, rng)
    else:
        sizes = _equal(patients, clients) if how == "iid" else _growing(patients, clients)
        parts = np.split(rng.permutation(patients), np.cumsum(sizes)[:-1])
    width = max(2, len(str(clients)))
    return {f"hospital-{number:0{width}}": np.sort(rows) for number, rows in enumerate(parts, start=1)}


def _by_site(table: Table, clients: int | None) -> dict[str, Rows]:
    if table.sites is None:
        raise ConfigError(f"{table.source}: partition by site, but no site column is named")
    names = sorted(set(table.sites.tolist()), key=lambda name: (name.isdecimal() and int(name), name))
    if len(names) < MIN_COHORT:
        raise InputError(f"{table.source}: site column names {len(names)} hospitals, expected at least {MIN_COHORT}")
    if clients not in (None, len(names)):
        raise ConfigError(
            f"clients is {clients}: the site column of {table.source} names {len(names)}, expected none or {len(names)}"
        )
    parts = {name: np.flatnonzero(table.sites == name) for name in names}
    for name, rows in parts.items():
        require_patients(table.source, name, len(rows))
    return parts


def require_patients(source: str, name: str, patients: int) -> None:
    """Refuse a hospital that cannot both train and hold out.

    Raises:
        InputError: `patients` is under `MIN_PATIENTS`; names source and hospital.
    """
    if patients < MIN_PATIENTS:
        raise InputError(
            f"{source}: hospital {name!r} has {patients} patients, expected at least "
            f"{MIN_PATIENTS} ({MIN_TRAIN} to train and {MIN_TEST} held out)"
        )


def _equal(patients: int, clients: int) -> list[int]:
    return [patients // clients + (number < patients % clients) for number in range(clients)]


def _growing(patients: int, clients: int) -> list[int]:
    """Everybody's minimum first; the rest in proportion 1 : 2 : ... : n, by cumulative rounding."""
    rest = patients - clients * MIN_PATIENTS
    total = clients * (clients + 1) // 2
    ends = [round(rest * k * (k + 1) / 2 / total) for k in range(clients + 1)]
    return [MIN_PATIENTS + ends[k + 1] - ends[k] for k in range(clients)]


def _dirichlet(table: Table, clients: int, alpha: float, rng: np.random.Generator) -> list[Rows]:
    classes = [np.flatnonzero(table.outcome == label) for label in (0, 1)]
    for _ in range(DRAWS):
        cuts = [_cut(rng.permutation(rows), clients, alpha, rng) for rows in classes]
        parts = [np.concatenate(of_client) for of_client in zip(*cuts, strict=True)]
        if min(map(len, parts)) >= MIN_PATIENTS:
            return parts
    raise ConfigError(
        f"{table.source}: no Dirichlet({alpha}) skew in {DRAWS} draws leaves each of {clients} hospitals "
        f"{MIN_PATIENTS} patients; expected a larger alpha or fewer hospitals"
    )


def _cut(rows: Rows, clients: int, alpha: float, rng: np.random.Generator) -> list[Rows]:
    """Parts of one outcome's rows in proportions drawn from Dir(alpha, ..., alpha)."""
    shares = rng.dirichlet(np.full(clients, alpha))
    return np.split(rows, np.round(np.cumsum(shares)[:-1] * len(rows)).astype(np.intp))


def hold_out(outcome: NDArray[np.uint8], fraction: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Split one hospital's patients, alike in outcome on both sides.

    Args:
        outcome: (n,) of 0 and 1, n >= `MIN_PATIENTS`.
        fraction: share held out of each outcome's patients, in (0, 1), rounded.
        rng: of the shuffle.

    Returns:
        Sorted row numbers to train on (`MIN_TRAIN` or more) and held out (`MIN_TEST` or more).
    """
    shuffled = [rng.permutation(np.flatnonzero(outcome == label)) for label in (0, 1)]
    test = [rows[: math.floor(len(rows) * fraction + 0.5)] for rows in shuffled]
    train = [rows[len(out) :] for rows, out in zip(shuffled, test, strict=True)]
    ordered = np.concatenate([*test, *train])  # too few or too many held out: move the cut, keep the order
    cut = min(max(sum(map(len, test)), MIN_TEST), len(outcome) - MIN_TRAIN)
    return np.sort(ordered[cut:]), np.sort(ordered[:cut])
