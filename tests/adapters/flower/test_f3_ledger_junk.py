"""One entry of the configuration that no client reads makes another context of one model: the server has a sum with the
victim and one without it, and their difference is the victim's update. Active mode; in one run, and in two runs of
nodes with journals. A client's ledger opens one cohort per model, so the others refuse the second sum; by the whole
context nobody does.
"""

import numpy as np
import pytest
from federation import MODEL, MemoryGrid, model_record, step_of
from flwr.app import ConfigRecord, RecordDict
from lying import Federation, refusals, replied

from secagg.scheme import Seat

NODES = 6
FEDERATION = Federation(NODES)
VICTIM = FEDERATION.nodes[2]


def train(message, context):
    """The same update whenever it gets the same model."""
    arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
    moved = {n: (a + step_of(context.node_id, 0, a.shape)).astype(a.dtype) for n, a in arrays.items()}
    return replied(message, model_record(moved), **{"num-examples": 100})


def two_sums(forgotten=False, stores=None):
    """[(grid, outcome, model)] of all, and of all but the victim, whose contexts differ by junk alone.

    Args:
        forgotten: whether the contexts of nodes are gone in between, as they are in another run.
        stores: folder of the nodes' journals.
    """
    grid, found = FEDERATION.grid(train, stores=stores), []
    for nodes in (FEDERATION.nodes, [node for node in FEDERATION.nodes if node != VICTIM]):
        part = MemoryGrid({node: grid.apps[node] for node in nodes}, node_config=grid.node_config, stores=stores)
        part.states = {node: RecordDict() for node in nodes} if forgotten else grid.states
        junk = ConfigRecord({"nobody-reads-this": len(nodes)})
        found.append((part, *FEDERATION.run(part, model_record(), junk, weight_max=None)))
    return found


def check_refused(found):
    (_, first, _), (grid, second, model) = found
    assert first.contributors == set(map(str, FEDERATION.nodes))
    assert second.failure is not None
    assert model is None
    told = refusals(grid)
    assert set(told) == set(FEDERATION.nodes) - {VICTIM}
    assert all(reason.startswith("PolicyRefused: a second sum") for reason in told.values())


def test_a_second_sum_of_one_model_is_refused():
    check_refused(two_sums())


def test_a_second_sum_of_one_model_is_refused_in_another_run_of_nodes_with_journals(tmp_path):
    check_refused(two_sums(forgotten=True, stores=tmp_path))


@pytest.mark.parametrize("how", ["by the whole context", "without journals"])
def test_else_the_difference_of_two_sums_is_the_victims_update(how, monkeypatch):
    if how == "by the whole context":
        monkeypatch.setattr(Seat, "_subject", Seat.bound_context)
    sums, bounds = [], []
    for grid, outcome, found in two_sums(forgotten=how == "without journals"):
        assert outcome.contributors == set(map(str, grid.apps))
        sums.append({name: (found[name] - array) * len(grid.apps) for name, array in MODEL.items()})
        bounds.append({name: outcome.error_bound[name] * len(grid.apps) for name in MODEL})
    for name, array in MODEL.items():
        read = sums[0][name] - sums[1][name]
        most = bounds[0][name] + bounds[1][name]
        assert most < 1e-3
        assert np.abs(read - step_of(VICTIM, 0, array.shape)).max() <= most + 1e-5  # the model is in float32
