"""The two lines: a recipe made secure."""

from typing import Annotated, Any

from msgspec import Meta
from nvflare.app_common.workflows.fedavg import FedAvg
from nvflare.client.config import ExchangeFormat
from nvflare.fuel.utils.class_utils import get_component_init_parameters
from nvflare.job_config.api import FedJob
from nvflare.recipe.spec import Recipe

from secagg.adapters.nvflare.client import SecAggExecutor, filtered
from secagg.adapters.nvflare.controller import SecureRounds, secured
from secagg.arguments import FINITE, checked
from secagg.errors import ConfigError

_SECONDS = Annotated[float, Meta(gt=0, le=FINITE, title="a number of seconds above 0")]


def secure_aggregation(
    recipe: Recipe, weight_max: int | None, *, min_sites: int | None = None, poll: float = 0.5, **how: Any
) -> None:
    """Make a FedAvg recipe's server learn, of each round's updates, their weighted mean alone.

    Call it last, when all filters of the recipe's own are in place: the update goes through them before it is sealed.
    The training script stays as it is.

    Args:
        recipe: any that runs NVFLARE's FedAvg controller on a model of NumPy arrays.
        weight_max, how: as `SecureRounds` has them.
        min_sites: the job goes on while so many sites' processes are alive. NVFLARE ends a job with fewer than the
            recipe's `min_clients`, its default here too; a site whose training merely fails is no matter.
        poll: seconds after which a site asks for its next task; NVFLARE's own default is 2. Every phase is a task.

    Raises ConfigError for a recipe of another controller or exchange format, or one that is secure already, and what
    `SecureRounds` raises.
    """
    checked("poll", poll, _SECONDS)
    checked("min_sites", min_sites, Annotated[int, Meta(ge=1)] | None)
    _check_format(recipe)
    job = recipe._job
    server = job._deploy_map["server"].app_config
    controllers = [each for each in server.workflows if isinstance(each.controller, FedAvg)]
    if any(isinstance(each.controller, SecureRounds) for each in controllers):
        raise ConfigError(f"{type(recipe).__name__} is secure already: call secure_aggregation once")
    if len(controllers) != 1 or type(controllers[0].controller) is not FedAvg:
        found = [type(each.controller).__name__ for each in server.workflows]
        raise ConfigError(
            f"{type(recipe).__name__} runs {found}, expected NVFLARE's FedAvg: derive a controller of your own, "
            "class Mine(SecureRounds, ...), if all it makes of the results is a weighted mean"
        )
    (workflow,) = controllers
    plain = workflow.controller
    workflow.controller = secured(plain, get_component_init_parameters(plain), weight_max=weight_max, **how)
    recipe._add_to_client_apps(SecAggExecutor([plain.task_name]))
    _bind(job, [plain.task_name])
    recipe.add_server_config({"server": {**server.additional_params.get("server", {}), "task_request_interval": poll}})
    if min_sites is not None:
        job.job.min_clients = min_sites


def _bind(job: FedJob, tasks: list[str]) -> None:
    """Leave to executors that take every task those on which our filters stand: others would leave in clear."""
    for app in job._deploy_map.values():
        for each in getattr(app.app_config, "executors", []):
            if each.tasks == ["*"]:
                each.tasks = filtered(tasks)


def _check_format(recipe: Recipe) -> None:
    """Raise ConfigError where sites would exchange anything but NumPy arrays, which are what is summed."""
    sites = getattr(recipe, "per_site_config", None) or {}
    asked = {"the recipe": getattr(recipe, "server_expected_format", None)}
    asked |= {f"site {name!r}": (each or {}).get("server_expected_format") for name, each in sites.items()}
    for whose, value in asked.items():
        if value not in (None, ExchangeFormat.NUMPY, ExchangeFormat.RAW):
            raise ConfigError(
                f"server_expected_format of {whose} is {getattr(value, 'value', value)!r}, expected 'numpy', the "
                "default: arrays are summed, and the script gets its own framework's tensors all the same"
            )
