"""The run's configuration reaches each SuperNode from the SuperLink (`get_run`), node by node, signed by nobody. The
train function of docs/examples/flower-hospitals, as it stands, takes its number of steps from there: the server gives
all but the victim none. Their update is zero, and the weighted mean over five hospitals is one hospital's model, for
the server knows the sizes. Active mode, one round. The digest that clients compare covers the run's configuration, so
the others refuse; under one that does not, nobody does.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
from federation import MemoryGrid
from flwr.app import ArrayRecord
from lying import Federation, refusals

sys.path.append(str(Path(__file__).parents[3] / "docs" / "examples" / "flower-hospitals"))
from hospitals.client_app import train
from hospitals.task import create_model, get_weights, load_data
from hospitals.task import train as fit

from secagg.adapters.flower import SecAggMod, seen

NODES, PLACE, STEPS = 5, 1, 10
FEDERATION = Federation(NODES)
VICTIM = FEDERATION.nodes[PLACE]


CONFIG = {"learning-rate": 0.1, "local-steps": STEPS, "num-server-rounds": 1}


class OtherRuns(MemoryGrid):
    """Tells all but the victim of another run."""

    def ask(self, node, message):
        self.run_config = CONFIG if node == VICTIM else {**CONFIG, "local-steps": 0}
        try:
            return super().ask(node, message)
        finally:
            self.run_config = CONFIG


class AnyOrder(MemoryGrid):
    """Tells each node of the same run in another order, as a map on the wire may."""

    def ask(self, node, message):
        self.run_config = dict(reversed(self.run_config.items()))
        return super().ask(node, message)


def run(kind):
    """(grid, outcome, the model's arrays after the round) among hospitals with the example's own function."""
    metrics = {"accuracy": 1.0, "auc": 1.0}
    mod = SecAggMod(
        credentials=lambda context: FEDERATION.known[str(context.node_id)], metrics=dict.fromkeys(metrics, (1, 1))
    )
    grid = FEDERATION.grid(train, kind, mod, run_config=CONFIG)
    how = {"weight_max": 500, "clip": 32.0, "bits": 24, "metrics": metrics}
    before = ArrayRecord([array.copy() for array in get_weights(create_model(0.1))])
    return grid, *FEDERATION.run(grid, before, **how)


def test_another_runs_configuration_is_refused():
    grid, outcome, found = run(OtherRuns)
    assert outcome.failure is not None
    assert found is None
    told = refusals(grid)
    assert set(told) == set(FEDERATION.nodes) - {VICTIM}
    assert all(reason.startswith("InconsistentModel") for reason in told.values())


@pytest.mark.parametrize("kind", [MemoryGrid, AnyOrder])
def test_the_servers_own_configuration_is_the_runs(kind):
    grid, outcome, _ = run(kind)
    assert (outcome.failure, refusals(grid)) == (None, {})
    assert len(outcome.contributors) == NODES


def test_with_a_digest_without_it_the_mean_over_five_hospitals_is_one_hospitals_model(monkeypatch):
    bound = seen.content_digest
    monkeypatch.setattr(seen, "content_digest", lambda metadata, run_config, content: bound(metadata, {}, content))
    grid, outcome, found = run(OtherRuns)
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
