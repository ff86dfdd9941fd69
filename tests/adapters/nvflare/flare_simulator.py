"""NVFLARE's simulator: a server and sites as processes on loopback."""

import json
import sys
from pathlib import Path

import numpy as np
from nvflare.app_common.np.constants import NPConstants
from nvflare.app_common.np.recipes import NumpyFedAvgRecipe
from nvflare.recipe import SimEnv

from secagg.adapters.nvflare import secure_aggregation
from secagg.adapters.nvflare.controller import OUTCOMES

APP = Path(__file__).parent / "app"
SCRIPT = APP / "flare_training.py"
sys.path.insert(0, str(APP))

from flare_training import move_of, steps_of  # noqa: E402

SIZE = 40
KEY = NPConstants.NUMPY_KEY


def recipe_of(rounds: int, sites: int = 3, arguments: str = "", **how) -> NumpyFedAvgRecipe:
    return NumpyFedAvgRecipe(
        name="probe",
        model=np.zeros(SIZE),
        min_clients=sites,
        num_rounds=rounds,
        train_script=str(SCRIPT),
        train_args=arguments,
        key_metric="loss",
        key_metric_mode="min",
        **how,
    )


def secured(recipe: NumpyFedAvgRecipe, **how) -> NumpyFedAvgRecipe:
    secure_aggregation(recipe, weight_max=60, **{"clip": 0.5, **how})
    return recipe


def simulate(recipe, folder: Path, sites: int = 3, threads: int | None = None, site: dict | None = None) -> Path:
    """The job's folder; `site` is every site's own file."""
    local = folder / "probe" / "local"
    local.mkdir(parents=True)
    if site is not None:
        (local / "secagg.json").write_text(json.dumps(site))
    recipe.execute(SimEnv(num_clients=sites, num_threads=threads, workspace_root=str(folder)))
    return folder / "probe"


def model_in(run: Path) -> np.ndarray:
    """The last model that the server wrote in its run folder."""
    return np.load(run / "models" / "server.npy")


def outcomes_in(run: Path) -> list[dict]:
    return list(json.loads((run / OUTCOMES).read_text()).values())


def check(run: Path, rounds: list[tuple[int, ...]]) -> list[dict]:
    """The model is the sum of each round's weighted mean over its sites; the outcomes are returned."""
    outcomes, wanted, slack = outcomes_in(run), np.zeros(SIZE), 0.0
    assert len(outcomes) == len(rounds)
    for current_round, (sites, outcome) in enumerate(zip(rounds, outcomes, strict=True)):
        assert outcome["failure"] is None
        assert outcome["contributors"] == [f"site-{number}" for number in sites]
        assert outcome["weight"] == sum(map(steps_of, sites))
        assert outcome["saturated"] == 0
        moves = [steps_of(number) * move_of(number, current_round, SIZE) for number in sites]
        wanted += sum(moves) / outcome["weight"]
        slack += outcome["error_bound"][KEY] + 4 * np.finfo(np.float32).eps
    assert np.abs(model_in(run) - wanted).max() <= slack
    return outcomes
