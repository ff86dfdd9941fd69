"""The run's configuration reaches each SuperNode from the SuperLink (`get_run`), node by node, signed by nobody, and no
digest covers it. The train function of docs/examples/flower-hospitals, as it stands, takes its number of steps from
there: the server gives all but the victim none. Their update is zero, and the weighted mean over five hospitals is one
hospital's model, for the server knows the sizes. Active mode, one round.

Closed when: hospitals that were told of another run's configuration than the session's refuse, as for another model.
"""

import sys
from pathlib import Path

import numpy as np
from federation import MemoryGrid
from flwr.app import ArrayRecord
from lying import Federation, refusals

sys.path.append(str(Path(__file__).parents[4] / "docs" / "examples" / "flower-hospitals"))
from hospitals.client_app import train
from hospitals.task import create_model, get_weights, load_data
from hospitals.task import train as fit

NODES, PLACE, STEPS = 5, 1, 10
FEDERATION = Federation(NODES)
VICTIM = FEDERATION.nodes[PLACE]


class OtherRuns(MemoryGrid):
    """Tells each node of a run of its own."""

    def ask(self, node, message):
        steps = STEPS if node == VICTIM else 0
        self.run_config = {"learning-rate": 0.1, "local-steps": steps, "num-server-rounds": 1}
        return super().ask(node, message)


def test_the_mean_over_five_hospitals_is_one_hospitals_model():
    before, grid = get_weights(create_model(0.1)), FEDERATION.grid(train, OtherRuns)
    how = {"weight_max": 500, "clip": 32.0, "bits": 24, "metrics": {"accuracy": 1.0, "auc": 1.0}}
    outcome, found = FEDERATION.run(grid, ArrayRecord([array.copy() for array in before]), **how)
    assert len(outcome.contributors) == NODES
    assert refusals(grid) == {}

    sizes = [len(load_data(place, NODES)[2]) for place in range(NODES)]
    assert outcome.weight == sum(sizes)
    features, _, labels, _ = load_data(PLACE, NODES)
    alone = create_model(0.1)
    fit(alone, features, labels, STEPS)
    factor = outcome.weight / sizes[PLACE]
    for (name, array), true in zip(found.items(), get_weights(alone), strict=True):
        assert np.abs(true).max() > 0.1
        assert np.abs(array * factor - true).max() <= outcome.error_bound[name] * factor + 1e-12
        assert outcome.error_bound[name] * factor < 1e-3
