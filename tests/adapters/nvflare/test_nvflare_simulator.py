"""Real processes: NVFLARE's simulator."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from flare_simulator import KEY, SCRIPT, check, model_in, outcomes_in, recipe_of, secured, simulate
from nvflare.app_common.workflows.fedavg import FedAvg
from nvflare.app_opt.sklearn.recipes.kmeans import KMeansFedAvgRecipe
from nvflare.client.config import ExchangeFormat
from nvflare.job_config.api import FedJob
from nvflare.recipe.utils import set_per_site_config

from secagg.adapters.nvflare import SecAggExecutor, SecureFedAvg
from secagg.errors import ConfigError
from secagg_protocols import PROTOCOLS

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "nvflare-hospitals"
SERVER = Path("server", "simulate_job")


def test_a_site_that_fails_in_training_leaves_the_sum_of_the_others(tmp_path):
    recipe = secured(recipe_of(2, arguments="--fails 2 1"), options={"threshold": 2}, metrics={"loss": 1.0})
    job = simulate(recipe, tmp_path, site={"min_cohort": 2})
    outcomes = check(job / SERVER, [(1, 2, 3), (1, 3)])
    assert [outcome["lost"] for outcome in outcomes] == [{}, {"site-2": "masked"}]


@pytest.mark.nightly
def test_three_rounds_equal_plain_fedavg_within_the_bound(tmp_path):
    plain = simulate(recipe_of(3), tmp_path / "plain") / SERVER
    secure = simulate(secured(recipe_of(3)), tmp_path / "secure") / SERVER
    check(secure, [(1, 2, 3)] * 3)
    bound = sum(outcome["error_bound"][KEY] for outcome in outcomes_in(secure))
    assert np.abs(model_in(secure) - model_in(plain)).max() <= bound + 1e-6


@pytest.mark.nightly
@pytest.mark.parametrize("scheme", sorted(PROTOCOLS))
def test_every_protocol_in_the_simulator(tmp_path, scheme):
    """Homomorphic encryption too, which NVFLARE's own recipe refuses here."""
    job = simulate(secured(recipe_of(2), scheme=scheme), tmp_path, site={"protocols": [scheme]})
    check(job / SERVER, [(1, 2, 3)] * 2)


@pytest.mark.nightly
def test_fewer_threads_than_sites(tmp_path):
    recipe = secured(recipe_of(1, sites=4))
    job = simulate(recipe, tmp_path, sites=4, threads=2)
    check(job / SERVER, [(1, 2, 3, 4)])
    assert not list(job.rglob("secagg.swapped"))


@pytest.mark.nightly
def test_a_training_script_in_a_process_of_its_own(tmp_path):
    recipe = secured(recipe_of(2, launch_external_process=True, command=f"{sys.executable} -u"))
    check(simulate(recipe, tmp_path) / SERVER, [(1, 2, 3)] * 2)


@pytest.mark.nightly
def test_the_readmes_own_command_runs_the_example(tmp_path):
    shell = re.findall(r"^```sh\n(.*?)^```", (EXAMPLE / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (block,) = (block for block in shell if "job.py" in block)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "NVFLARE_SIMULATOR_WORKSPACE_ROOT": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        ["sh", "-ec", block],
        cwd=EXAMPLE,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert str(tmp_path / "hospitals") in done.stdout
    run = tmp_path / "hospitals" / SERVER
    assert [outcome["failure"] for outcome in outcomes_in(run)] == [None] * 5
    log = (done.stdout + done.stderr).splitlines()
    best = [float(line.rpartition(":")[2]) for line in log if "new best validation metric" in line]
    assert best
    assert max(best) > 0.95


def test_the_jobs_configuration_holds_what_was_asked_for(tmp_path):
    secured(recipe_of(2), scheme="secagg+", options={"neighbours": 2}, metrics={"loss": 2.0}, weight_min=5).export(
        str(tmp_path)
    )
    server = json.loads(next(tmp_path.rglob("config_fed_server.json")).read_text())
    client = json.loads(next(tmp_path.rglob("config_fed_client.json")).read_text())
    (workflow,) = server["workflows"]
    assert workflow["path"] == "secagg.adapters.nvflare.controller.SecureFedAvg"
    expected = {"weight_max": 60, "scheme": "secagg+", "clip": 0.5, "weight_min": 5, "num_rounds": 2}
    assert workflow["args"].items() >= expected.items()
    assert server["server"] == {"task_request_interval": 0.5}
    assert {each["executor"]["path"].rpartition(".")[2] for each in client["executors"]} >= {"SecAggExecutor"}
    assert [each["tasks"] for each in client["task_result_filters"]] == [["train"], ["submit_model"], ["validate"]]
    assert not [path for path in tmp_path.rglob("*.py") if "secagg" in path.parts]


def test_recipes_that_need_single_results_are_refused():
    recipe = KMeansFedAvgRecipe(name="clusters", min_clients=3, n_clusters=2, train_script=str(SCRIPT))
    with pytest.raises(ConfigError, match="an aggregator of your own"):
        secured(recipe)
    recipe = recipe_of(1)
    recipe._job._deploy_map["server"].app_config.workflows[0].controller = type("Median", (FedAvg,), {})()
    with pytest.raises(ConfigError, match=r"runs \['Median'\], expected NVFLARE's FedAvg"):
        secured(recipe)


@pytest.mark.parametrize("value", [ExchangeFormat.PYTORCH, "pytorch", ExchangeFormat.KERAS_LAYER_WEIGHTS])
def test_an_exchange_of_tensors_is_refused_before_the_job_runs(value):
    said = (
        f"server_expected_format of the recipe is {str(ExchangeFormat(value).value)!r}, expected 'numpy', the default"
    )
    with pytest.raises(ConfigError, match=said):
        secured(recipe_of(1, server_expected_format=value))
    recipe = recipe_of(1)
    set_per_site_config(recipe, {"site-1": {}, "site-2": {"server_expected_format": value}, "site-3": {}})
    with pytest.raises(ConfigError, match="server_expected_format of site 'site-2'"):
        secured(recipe)


@pytest.mark.parametrize("value", [ExchangeFormat.NUMPY, ExchangeFormat.RAW, "numpy"])
def test_an_exchange_of_arrays_is_not(value):
    recipe = recipe_of(1, server_expected_format=value)
    set_per_site_config(recipe, {f"site-{number}": {"server_expected_format": value} for number in (1, 2, 3)})
    secured(recipe)


def test_a_job_without_a_recipe(tmp_path):
    job = FedJob("probe", min_clients=3)
    job.to_server(SecureFedAvg(num_clients=3, num_rounds=2, weight_max=60, clip={"a": 2.0, "*": 1.0}))
    job.to_clients(SecAggExecutor(["train", "fine-tune"]))
    job.export_job(str(tmp_path))
    server = json.loads(next(tmp_path.rglob("config_fed_server.json")).read_text())
    client = json.loads(next(tmp_path.rglob("config_fed_client.json")).read_text())
    assert server["workflows"][0]["args"]["clip"] == {"a": 2.0, "*": 1.0}
    assert [each["tasks"] for each in client["task_data_filters"]] == [
        [name] for name in ("train", "fine-tune", "submit_model", "validate")
    ]
    assert not list(tmp_path.rglob("*.py"))
