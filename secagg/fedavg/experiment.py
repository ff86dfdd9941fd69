"""The main job: prepare, standardise, train and compare, hospitals dropping out on the way."""

import os
import time
from collections.abc import Callable

from secagg.fedavg.comparison import compare, gather
from secagg.fedavg.data import Table, load
from secagg.fedavg.history import Event, Run, Stage, Started, StatisticsRecord
from secagg.fedavg.loop import train
from secagg.fedavg.models import model_of
from secagg.fedavg.partition import spread
from secagg.fedavg.preparation import Patients, Schema, Site, Standardisation, prepare, schema_of
from secagg.fedavg.secure import SchemeSource, check_counts, ignore, scheme_for
from secagg.fedavg.seeds import Purpose, stream
from secagg.fedavg.settings import Settings
from secagg.fedavg.statistics import federated
from secagg.primitives.entropy import Entropy

OnEvent = Callable[[Event], None]


def run_experiment(
    settings: Settings,
    scheme: SchemeSource,
    on_event: OnEvent = ignore,
    *,
    entropy: Entropy = os.urandom,
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
        ConfigError, InputError: what `load`, `spread`, `prepare`, `federated` and `train` refuse.
        TooFew: the statistics failed again and again; a round of training that fails is skipped.
    """
    start = time.perf_counter()
    on_event(Stage("data", f"reading {settings.data}"))
    table = load(settings.data, target=settings.target, site=settings.site)
    schema = schema_of(table)
    sites = prepare_sites(table, schema, settings)
    started = _started(settings, table, schema, sites, scheme)
    on_event(started)
    on_event(Stage("statistics", "mean and variance of each feature, by secure sums"))
    standardisation, statistics = _standardise(sites, schema, scheme, settings, on_event=on_event, entropy=entropy)
    on_event(Stage("training", f"{settings.rounds} rounds at {len(sites)} hospitals"))
    model = model_of(settings)
    hospitals = {site.name: _standard(site.train, standardisation) for site in sites}
    held_out = _standard(gather([site.test for site in sites]), standardisation)
    trained = train(model, hospitals, held_out, scheme, settings, on_round=on_event, entropy=entropy)
    on_event(Stage("comparison", "each hospital alone, and all patients in one place"))
    return Run(
        settings=settings,
        protocol=started.protocol,
        phases=started.phases,
        classes=started.classes,
        sites=started.sites,
        features=started.features,
        constant=_constant(schema, standardisation),
        statistics=statistics,
        rounds=trained.rounds,
        comparison=compare(model, sites, trained, standardisation, settings),
        seconds=time.perf_counter() - start,
    )


def prepare_sites(table: Table, schema: Schema, settings: Settings) -> tuple[Site, ...]:
    """Spread the patients and let each hospital prepare its own.

    Raises:
        ConfigError, InputError: too few patients somewhere.
        BadWeight: a hospital has more training patients than `weight_max`.
    """
    parts = spread(
        table,
        settings.spread,
        clients=settings.clients,
        alpha=settings.alpha,
        rng=stream(settings.seed, Purpose.PARTITION),
    )
    sites = tuple(
        prepare(
            table,
            schema,
            name,
            rows,
            test_fraction=settings.test_fraction,
            rng=stream(settings.seed, Purpose.HOLD_OUT, index),
        )
        for index, (name, rows) in enumerate(parts.items())
    )
    check_counts({site.name: len(site.train.y) for site in sites}, settings.weight_max)
    return sites


def _started(
    settings: Settings, table: Table, schema: Schema, sites: tuple[Site, ...], scheme: SchemeSource
) -> Started:
    protocol = scheme_for(scheme, len(sites))
    return Started(
        settings=settings,
        protocol=str(protocol),
        phases=tuple(phase.name for phase in protocol.phases),
        classes=table.classes,
        sites=tuple(site.summary() for site in sites),
        features=schema.features,
    )


def _standardise(
    sites: tuple[Site, ...],
    schema: Schema,
    scheme: SchemeSource,
    settings: Settings,
    *,
    on_event: OnEvent,
    entropy: Entropy,
) -> tuple[Standardisation, tuple[StatisticsRecord, ...]]:
    records: list[StatisticsRecord] = []

    def tell(record: StatisticsRecord) -> None:
        records.append(record)
        on_event(record)

    standardisation = federated(
        {site.name: site.train.x for site in sites},
        schema.features,
        scheme,
        weight_max=settings.weight_max,
        dropout=settings.dropout,
        rng=stream(settings.seed, Purpose.STATISTICS),
        entropy=entropy,
        on_record=tell,
    )
    return standardisation, tuple(records)


def _standard(patients: Patients, standardisation: Standardisation) -> Patients:
    return Patients(standardisation.apply(patients.x), patients.y)


def _constant(schema: Schema, standardisation: Standardisation) -> tuple[str, ...]:
    """Names of the features that the model sees as zero."""
    return tuple(name for name, still in zip(schema.features, standardisation.constant, strict=True) if still)
