from dataclasses import fields, is_dataclass
from unittest.mock import ANY

import msgspec
import numpy as np
import pytest

from secagg.errors import BadWeight, NotFinite, TooFew
from secagg.fedavg import RoundRecord, Run, Settings, StatisticsRecord, run_experiment
from secagg.fedavg.history import ALONE, CENTRALIZED, PLAIN, SECURE, Stage, Started
from secagg_protocols import PairwiseMasking

CLOCKED = {"seconds", "traffic"}


def without_clocks(value):
    """A record as plain values, without what differs from run to run."""
    if is_dataclass(value):
        names = [field.name for field in fields(value) if field.name not in CLOCKED]
        return {name: without_clocks(getattr(value, name)) for name in names}
    if isinstance(value, tuple):
        return [without_clocks(item) for item in value]
    return value


@pytest.fixture(scope="module")
def default_run():
    events = []
    run = run_experiment(Settings(), PairwiseMasking(), events.append)
    return run, events


def test_ten_hospitals_learn_about_as_much_together_as_centralized(default_run):
    run, _ = default_run
    alone, centralized, plain, secure = run.comparison
    assert [row.model for row in run.comparison] == [ALONE, CENTRALIZED, PLAIN, SECURE]
    assert secure.overall.accuracy > 0.95
    assert secure.overall.accuracy >= centralized.overall.accuracy - 0.02
    assert abs(secure.overall.log_loss - plain.overall.log_loss) < 1e-3
    assert secure.overall.log_loss < alone.overall.log_loss
    assert run.rounds[-1].secure == secure.overall
    assert run.rounds[-1].plain == plain.overall


def test_hospitals_are_lost_at_every_phase_and_every_round_is_within_its_bound(default_run):
    run, _ = default_run
    lost = {phase for record in (*run.rounds, *run.statistics) for phase in record.sum.lost.values()}
    assert lost == set(run.phases)
    for record in run.rounds:
        assert record.sum.too_few is not None or record.gap <= record.bound
    assert sum(record.sum.too_few is None for record in run.rounds) > 15


def test_all_models_are_judged_on_the_same_held_out_patients(default_run):
    run, _ = default_run
    held_out = {site.name: site.test for site in run.sites}
    for row in run.comparison:
        assert row.overall.patients == sum(held_out.values())
        assert {name: metrics.patients for name, metrics in row.hospitals.items()} == held_out
    alone = run.comparison[0].alone
    accuracies = {name: metrics.accuracy for name, metrics in alone.hospitals.items()}
    assert accuracies[alone.best] == max(accuracies.values())
    assert accuracies[alone.worst] == min(accuracies.values())
    assert run.comparison[0].overall.accuracy == pytest.approx(np.mean(list(accuracies.values())))
    assert sum(site.train + site.test + site.duplicates for site in run.sites) == 569


def test_overall_accuracy_is_the_hospitals_weighted_by_patients(default_run):
    run, _ = default_run
    for row in run.comparison[1:]:
        right = sum(metrics.accuracy * metrics.patients for metrics in row.hospitals.values())
        assert row.overall.accuracy == pytest.approx(right / row.overall.patients)


def test_events_tell_the_run_in_order(default_run):
    run, events = default_run
    assert [event.name for event in events if isinstance(event, Stage)] == [
        "data",
        "statistics",
        "training",
        "comparison",
    ]
    assert tuple(event for event in events if isinstance(event, StatisticsRecord)) == run.statistics
    assert tuple(event for event in events if isinstance(event, RoundRecord)) == run.rounds
    (started,) = [event for event in events if isinstance(event, Started)]
    assert (started.protocol, started.sites, started.features) == (run.protocol, run.sites, run.features)


def test_a_run_survives_json(default_run):
    run, _ = default_run
    assert msgspec.json.decode(msgspec.json.encode(run), type=Run) == run


def test_settings_fix_all_but_clocks(scheme):
    settings = Settings(rounds=2, clients=5, dropout=0.1, fraction=0.8, model="mlp", hidden=4, seed=3)
    one, two = run_experiment(settings, scheme), run_experiment(settings, scheme)
    assert without_clocks(one) == without_clocks(two)


def test_another_seed_is_another_run(scheme):
    one, two = (run_experiment(Settings(rounds=1, clients=4, seed=seed), scheme) for seed in (1, 2))
    assert one.sites != two.sites


@pytest.fixture
def clinics(csv):
    """Three clinics with missing values, categories, repeated rows and a constant column."""
    rng = np.random.default_rng(8)
    lines = ["age,dose,sex,unit,clinic,ill"]
    for number in range(90):
        age, ill = rng.normal(60, 10), rng.random() < 0.5
        cells = [f"{age + 10 * ill:.1f}", f"{1e5 * (1 + ill) + rng.normal():.3f}", "fm"[number % 2], "mg"]
        gone = {0: 0, 1: 2}.get(number % 9)
        if gone is not None:
            cells[gone] = ""
        lines.append(",".join([*cells, ["north", "south", "west"][number % 3], "yes" if ill else "no"]))
    return csv("\n".join([*lines, lines[1], lines[2]]) + "\n")


def test_a_csv_with_sites_runs_from_file_to_comparison(clinics, scheme):
    settings = Settings(data=str(clinics), target="ill", site="clinic", rounds=3, dropout=0.0)
    run = run_experiment(settings, scheme)
    assert [site.name for site in run.sites] == ["north", "south", "west"]
    assert run.features == ("age", "dose", "sex=f", "sex=m", "unit=mg")
    assert run.constant == ("unit=mg",)
    assert run.classes == ("no", "yes")
    assert sum(site.duplicates for site in run.sites) == 0
    assert sum(site.identical for site in run.sites) == 2
    assert sum(site.missing for site in run.sites) == 22
    assert run.notes[0].startswith("2 rows equal an earlier one of the same hospital and were kept")
    assert (run.settings.partition, run.settings.clients, run.settings.alpha) == ("site", 3, None)
    assert msgspec.json.decode(msgspec.json.encode(run), type=Run) == run
    assert run.comparison[3].overall.accuracy > 0.9


def test_options_of_preparation_reach_the_hospitals(csv, clinics, scheme):
    few = {"target": "ill", "site": "clinic", "rounds": 1, "dropout": 0.0, "epochs": 1}
    run = run_experiment(Settings(data=str(clinics), drop=("unit",), drop_duplicates=True, **few), scheme)
    assert run.features == ("age", "dose", "sex=f", "sex=m")
    assert [sum(getattr(site, count) for site in run.sites) for count in ("duplicates", "identical")] == [2, 0]
    assert run.notes == ()
    header, *rows = clinics.read_text().splitlines()
    numbered = [f"patient,{header}", *(f"{i % 90},{row}" for i, row in enumerate(rows))]
    run = run_experiment(Settings(data=str(csv("\n".join(numbered))), record_id="patient", **few), scheme)
    assert sum(site.duplicates for site in run.sites) == 2
    assert "patient" not in run.features
    numbered = [f"patient,{header}", *(f"{i},{row}" for i, row in enumerate(rows))]
    run = run_experiment(Settings(data=str(csv("\n".join(numbered))), record_id="patient", **few), scheme)
    assert [sum(getattr(site, count) for site in run.sites) for count in ("duplicates", "identical")] == [0, 2]
    assert run.notes == ()  # their ids say that they are different patients


def test_an_identifier_among_the_features_is_noted_before_training(csv, scheme):
    path = csv("n,x,y\n" + "".join(f"{i},{i % 3},{i % 2}\n" for i in range(24)))
    events = []
    settings = Settings(data=str(path), target="y", clients=3, rounds=1, dropout=0.0, weight_min=1, weight_max=100)
    run = run_experiment(settings, scheme, events.append)
    assert run.notes == (run.notes[0],)
    assert "column 'n'" in run.notes[0]
    note, started = events.index(Stage("data", f"note: {run.notes[0]}")), events.index(Stage("training", ANY))
    assert note < started


@pytest.mark.parametrize(("bits", "lost"), [(6, True), (32, False)])
def test_updates_lost_to_rounding_are_noted(scheme, bits, lost):
    how = {"bits": bits, "clip": 20.0, "weight_min": 105, "weight_max": 200}
    settings = Settings(clients=3, rounds=3, dropout=0.0, epochs=1, **how)
    run = run_experiment(settings, scheme)
    note = "nearly all of each update was lost to rounding in 3 of 3 rounds; raise bits or lower clip or weight_max"
    assert run.notes == ((note,) if lost else ())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 1e6, "epochs": 200}, r"^party 'hospital-0\d': round 1: training diverged; lower"),
        ({"l2": 1e9, "clients": 10, "rounds": 2}, r"^centralized: training diverged; lower"),
    ],
)
def test_a_run_that_diverges_says_where_without_a_warning(scheme, options, message):
    with pytest.raises(NotFinite, match=message):
        run_experiment(Settings(**{"clients": 3, "rounds": 1, "dropout": 0.0, **options}), scheme)


def test_statistics_that_fail_for_good_end_the_run(scheme):
    with pytest.raises(TooFew):
        run_experiment(Settings(dropout=1.0), scheme)


def test_the_public_bound_is_never_the_cohort_s_own_maximum(scheme):
    with pytest.raises(BadWeight, match=r"'hospital-01': 1\d\d training patients, expected at most weight_max = 99"):
        run_experiment(Settings(clients=3, weight_max=99), scheme)
