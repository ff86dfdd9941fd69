import msgspec
from typer.testing import CliRunner

from secagg.cli.app import app
from secagg.fedavg import Run

QUICK = ["--rounds", "1", "--epochs", "1", "--dropout", "0", "--json"]


def fedavg(*options):
    return CliRunner().invoke(app, ["fedavg", *QUICK, *options])


def test_the_command_s_options_of_preparation_reach_the_settings(csv):
    rows = "".join(f"{i % 20},{i % 20 % 5}.5,x,y,{'abc'[i % 20 % 3]},{i % 20 % 2}\n" for i in range(30))
    path = csv(f"id,dose,free,text,ward,ill\n{rows}")
    columns = [
        "--data",
        str(path),
        "--target",
        "ill",
        "--site",
        "ward",
        "--id",
        "id",
        "--drop",
        "free",
        "--drop",
        "text",
        "--weight-min",
        "1",
        "--weight-max",
        "100",
    ]
    done = fedavg(*columns, "--drop-duplicates")
    assert done.exit_code == 0, done.output
    run = msgspec.json.decode(done.stdout, type=Run)
    assert (run.settings.record_id, run.settings.drop) == ("id", ("free", "text"))
    assert (run.settings.drop_duplicates, run.settings.clients, run.settings.alpha) == (True, 3, None)
    assert run.features == ("dose",)
    assert sum(site.train + site.test + site.duplicates for site in run.sites) == 30
    assert sum(site.duplicates for site in run.sites) >= 10


def test_defaults_of_the_command_are_the_settings_own():
    run = msgspec.json.decode(fedavg().stdout, type=Run)
    assert (run.settings.clients, run.settings.alpha, run.settings.hidden) == (10, None, None)
    assert (run.settings.record_id, run.settings.drop, run.settings.drop_duplicates) == (None, (), False)
