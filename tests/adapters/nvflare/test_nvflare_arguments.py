"""What no round could be run with is refused where it is written down, not in round 0."""

import pytest
from flare_simulator import recipe_of, secured
from nvflare.app_common.workflows.fedavg import FedAvg

from secagg.adapters.nvflare import SecureFedAvg, SecureRounds, secure_aggregation
from secagg.errors import ConfigError

REFUSED = {
    "poll of 0": ({"poll": 0}, "poll is 0: expected a number of seconds above 0"),
    "poll as a text": ({"poll": "1"}, "poll is '1'"),
    "poll as a truth value": ({"poll": True}, "poll is True"),
    "endless poll": ({"poll": float("inf")}, "poll is inf"),
    "min_sites as a text": ({"min_sites": "2"}, "min_sites is '2': expected an integer, 1 or more, or None"),
    "min_sites as a truth value": ({"min_sites": True}, "min_sites is True"),
    "no min_sites": ({"min_sites": 0}, "min_sites is 0"),
    "metrics as a list": ({"metrics": ["auc"]}, r"metrics is \['auc'\]: expected a dict {name: clip}"),
    "metrics by number": ({"metrics": {1: 1.0}}, "metrics is"),
    "options as a list": ({"options": ["x"]}, r"options is \['x'\]: expected a dict"),
    "an option of no scheme": ({"options": {"x": 1}}, "options of 'secagg'"),
    "threshold beyond the cohort": ({"options": {"threshold": 4}}, "threshold"),
    "active without a roster": ({"options": {"adversary": "active"}}, "roster names a file"),
    "a cohort that is never sampled": ({"min_cohort": 4}, "min_cohort is 4: 3 sites are sampled"),
    "scheme as a number": ({"scheme": 1}, "scheme is 1"),
    "roster as a number": ({"roster": 1}, "roster is 1"),
    "phase_timeout as a text": ({"phase_timeout": "10"}, "phase_timeout is '10': expected an integer"),
    "phase_timeout of parts": ({"phase_timeout": 0.5}, "phase_timeout is 0.5"),
    "train_timeout as a truth value": ({"train_timeout": True}, "train_timeout is True"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unusable_recipe_is_refused_at_the_call(name):
    how, said = REFUSED[name]
    with pytest.raises(ConfigError, match=said):
        secured(recipe_of(1), **how)


def test_a_recipe_is_made_secure_once():
    recipe = secured(recipe_of(1))
    with pytest.raises(ConfigError, match="NumpyFedAvgRecipe is secure already: call secure_aggregation once"):
        secure_aggregation(recipe, weight_max=60)


def test_without_a_recipe_too():
    with pytest.raises(ConfigError, match="threshold"):
        SecureFedAvg(num_clients=3, num_rounds=1, weight_max=60, options={"threshold": 4})


def test_a_controller_that_samples_as_it_likes_says_so_in_its_rounds():
    class Mine(SecureRounds, FedAvg):
        def __init__(self, **how):
            super().__init__(**how)
            del self.num_clients

    assert Mine(weight_max=60, options={"threshold": 3})._choice.options == {"threshold": 3}
