"""The main job: prepare, standardise, train and compare, hospitals dropping out on the way."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from secagg.fedavg.comparison import compare, gather
from secagg.fedavg.data import Table, load
from secagg.fedavg.history import Event, RoundRecord, Run, Stage, Started, StatisticsRecord
from secagg.fedavg.loop import train
from secagg.fedavg.models import model_of
from secagg.fedavg.partition import spread
from secagg.fedavg.preparation import Cohort, Preparation, Schema, Site, Standardisation, schema_of
from secagg.fedavg.secure import SchemeSource, Sums, check_counts, ignore, scheme_for
from secagg.fedavg.seeds import Purpose, stream
from secagg.fedavg.settings import Settings
from secagg.fedavg.statistics import federated
from secagg.primitives.entropy import Entropy

OnEvent = Callable[[Event], None]


def run_experiment(
    settings: Settings, scheme: SchemeSource, on_event: OnEvent = ignore, *, entropy: Entropy = os.urandom
) -> Run:
    """Run one experiment from data to comparison.

    All but cryptographic entropy and timings is fixed by the settings.

    Args:
        settings: every choice.
        scheme: of all secure sums, or a function from the number of parties to one: statistics ask all
            hospitals, a round of training asks `cohort_size(...)` of them.
        on_event: told, in order, of each `Stage`, of `Started`, of each `StatisticsRecord` and `RoundRecord`.
        entropy: of the cryptography.

    Raises:
        ConfigError, InputError: what `load`, `spread`, `Preparation.site`, `federated`, `train` and `compare` refuse,
            training that diverges among it.
        TooFew: the statistics failed again and again; a round of training that fails is skipped.
    """
    start = time.perf_counter()
    data = _gather(settings, on_event)
    settings = replace(settings, clients=len(data.sites))
    started = _started(settings, data, scheme)
    on_event(started)
    sums = Sums(scheme, settings.weights, settings.dropout, entropy)
    standardisation, statistics = _standardise(data, sums, settings.seed, on_event)
    on_event(Stage("training", f"{settings.rounds} rounds at {len(data.sites)} hospitals"))
    model, cohort = model_of(settings), _cohort(data.sites, standardisation)
    trained = train(model, cohort, scheme, settings, on_round=on_event, entropy=entropy)
    notes = data.notes + _told(_imprecise(trained.rounds), "training", on_event)
    on_event(Stage("comparison", "each hospital alone, and all patients in one place"))
    return Run(
        **vars(started),
        constant=_constant(data.schema, standardisation),
        statistics=statistics,
        rounds=trained.rounds,
        comparison=compare(model, data.sites, trained, standardisation, settings),
        seconds=time.perf_counter() - start,
        notes=notes,
    )


class _Data(NamedTuple):
    """The patients, and what a person should know of them."""

    table: Table
    schema: Schema
    sites: tuple[Site, ...]
    notes: tuple[str, ...]


def _gather(settings: Settings, on_event: OnEvent) -> _Data:
    """Read the patients and let the hospitals prepare them."""
    on_event(Stage("data", f"reading {settings.data}"))
    table = load_patients(settings)
    schema = schema_of(table)
    sites = prepare_sites(table, schema, settings)
    alike = _alike(sites) if table.ids is None else ()  # by their ids they are different patients
    return _Data(table, schema, sites, _told([*table.notes, *alike], "data", on_event))


def load_patients(settings: Settings) -> Table:
    """Read the patients that the settings name; see `load`."""
    return load(
        settings.data,
        target=settings.target,
        site=settings.site,
        record_id=settings.record_id,
        drop=settings.drop,
    )


def _told(notes: Iterable[str], stage: str, on_event: OnEvent) -> tuple[str, ...]:
    """The same notes, once the listener has them."""
    told = tuple(notes)
    for note in told:
        on_event(Stage(stage, f"note: {note}"))
    return told


def _alike(sites: Sequence[Site]) -> Iterator[str]:
    rows = sum(site.identical for site in sites)
    if rows:
        yield (
            f"{rows} {'row equals' if rows == 1 else 'rows equal'} an earlier one of the same hospital and "
            f"{'was' if rows == 1 else 'were'} kept, for patients can be alike; --id COLUMN removes repeated "
            "records, --drop-duplicates all such rows"
        )


def _imprecise(rounds: Sequence[RoundRecord]) -> Iterator[str]:
    """A note where the error bound exceeds the typical entry of the mean update in most rounds with a sum."""
    lost = [
        record.bound > record.typical for record in rounds if record.bound is not None and record.typical is not None
    ]
    if 2 * sum(lost) > len(lost):
        yield (
            f"nearly all of each update was lost to rounding in {sum(lost)} of {len(lost)} rounds; "
            "raise bits or lower clip or weight_max"
        )


def prepare_sites(table: Table, schema: Schema, settings: Settings) -> tuple[Site, ...]:
    """Spread the patients and let each hospital prepare its own.

    Raises:
        ConfigError, InputError: too few patients somewhere, or other hospitals than `clients` says.
        BadWeight: a hospital has more training patients than `weight_max`, or fewer than `weight_min`.
    """
    parts = spread(
        table,
        settings.spread,
        clients=settings.clients,
        alpha=settings.alpha,
        rng=stream(settings.seed, Purpose.PARTITION),
    )
    agreed = Preparation(schema, settings.test_fraction, settings.drop_duplicates)
    sites = tuple(
        agreed.site(table, name, rows, stream(settings.seed, Purpose.HOLD_OUT, index))
        for index, (name, rows) in enumerate(parts.items())
    )
    check_counts({site.name: len(site.train.y) for site in sites}, settings.weights)
    return sites


def _started(settings: Settings, data: _Data, scheme: SchemeSource) -> Started:
    protocol = scheme_for(scheme, len(data.sites))
    return Started(
        settings=settings,
        protocol=str(protocol),
        phases=tuple(phase.name for phase in protocol.phases),
        classes=data.table.classes,
        sites=tuple(site.summary() for site in data.sites),
        features=data.schema.features,
    )


def _standardise(
    data: _Data, sums: Sums, seed: int, on_event: OnEvent
) -> tuple[Standardisation, tuple[StatisticsRecord, ...]]:
    on_event(Stage("statistics", "mean and variance of each feature, by secure sums"))
    records: list[StatisticsRecord] = []

    def tell(record: StatisticsRecord) -> None:
        records.append(record)
        on_event(record)

    values = {site.name: site.train.x for site in data.sites}
    standardisation = federated(values, data.schema.features, sums, stream(seed, Purpose.STATISTICS), tell)
    return standardisation, tuple(records)


def _cohort(sites: tuple[Site, ...], standardisation: Standardisation) -> Cohort:
    hospitals = {site.name: standardisation.of(site.train) for site in sites}
    return Cohort(hospitals, standardisation.of(gather([site.test for site in sites])))


def _constant(schema: Schema, standardisation: Standardisation) -> tuple[str, ...]:
    """Names of the features that the model sees as zero."""
    return tuple(name for name, still in zip(schema.features, standardisation.constant, strict=True) if still)
