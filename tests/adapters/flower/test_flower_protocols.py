"""The protocols of ciphertexts run in Flower as pairwise masking does: exact sums, whoever is lost, or a named error.

They ask for more trust in the server, so clients have to name them.
"""

import random

import numpy as np
import pytest
from federation import MODEL, arrays_of, client_app, grid_of, model_record
from test_flower_strategy import WEIGHT_MAX, close, fedavg, mean_step

from secagg.adapters.flower import SecAggMod, SecureAggregation
from secagg.testing import SeededEntropy, small_keys
from secagg_protocols import PaillierKeys, PaillierSum

NODES = 4
TRIPS = {
    "paillier": [("deal", 3), ("encrypted", NODES), ("decrypt", 1)],
    "ckks": [("keys", NODES), ("deal", 3), ("encrypted", NODES), ("decrypt", 3)],
}
OPTIONS = {"paillier": {"key_bits": 1024}, "ckks": {}}


@pytest.fixture(autouse=True)
def _short_keys():
    with small_keys(1024):
        yield


def run(grid, scheme, rounds=1, **how):
    how = {"weight_max": WEIGHT_MAX, "scheme": scheme, **how}
    how.setdefault("options", OPTIONS.get(scheme))
    strategy = SecureAggregation(fedavg(), **how)
    random.seed(7)  # Flower samples by it, so that the nodes come in the same order every time
    result = strategy.start(grid, model_record(), num_rounds=rounds)
    return strategy, arrays_of(result.arrays) if result.arrays else None


def grid_for(scheme, nodes=NODES):
    return grid_of(nodes, mods=(SecAggMod(protocols=[scheme]),))


def check(strategy, found, cohorts):
    """The model after all rounds is that of plain FedAvg over each round's cohort of node ids."""
    wanted, slack = {name: array.astype(np.float64) for name, array in MODEL.items()}, dict.fromkeys(MODEL, 0.0)
    for server_round, cohort in enumerate(cohorts, 1):
        outcome = strategy.outcomes[server_round]
        assert outcome.failure is None
        assert outcome.contributors == set(map(str, cohort))
        for name, step in mean_step(cohort, server_round).items():
            wanted[name] = wanted[name] + step
            slack[name] += outcome.error_bound[name]
    close(found, wanted, slack, roundings=len(cohorts))


@pytest.mark.parametrize("scheme", sorted(TRIPS))
def test_rounds_are_exact_and_take_the_trips_that_the_page_tells(scheme):
    grid = grid_for(scheme)
    strategy, found = run(grid, scheme, 3, metrics={"train_loss": 2.0})
    check(strategy, found, [list(grid.apps)] * 3)
    assert grid.trips == TRIPS[scheme] * 3
    assert all(set(reply.content) == {"secagg", "secagg.frames"} for reply in grid.replies)
    assert all(set(reply.content["secagg.frames"]) == {"reply"} for reply in grid.replies)


def test_keys_of_the_size_that_is_used():
    grid = grid_for("paillier")
    strategy, found = run(grid, "paillier", options={})
    check(strategy, found, [list(grid.apps)])


def phases_of(scheme):
    return [phase for phase, _ in TRIPS[scheme]]


def asked_at(grid, phase):
    return {m.metadata.dst_node_id for m in grid.sent if m.content["secagg"]["phase"] == phase}


@pytest.mark.parametrize("how", ["silent", "error"])
@pytest.mark.parametrize("place", range(NODES))
@pytest.mark.parametrize(("scheme", "phase"), [(scheme, name) for scheme in TRIPS for name in phases_of(scheme)])
def test_a_node_lost_at_any_trip(scheme, phase, place, how):
    """Exact over the others; or, where the one node that holds the round's Paillier key is lost, a named error."""
    whole, grid = grid_for(scheme), grid_for(scheme)
    run(whole, scheme, entropy=SeededEntropy("flower"))  # the same session: shows whom it asks when nobody is lost
    node, order = list(grid.apps)[place], phases_of(scheme)
    grid.lose = lambda other, at: how if other == node and order.index(at) >= order.index(phase) else None
    strategy, found = run(grid, scheme, entropy=SeededEntropy("flower"))
    asked = [at for at in order[order.index(phase) :] if node in asked_at(grid, at)]
    outcome = strategy.outcomes[1]
    assert outcome.lost == ({str(node): asked[0]} if asked else {})
    if scheme == "paillier" and phase != "deal" and asked_at(whole, "decrypt") == {node}:
        assert "key holders" in outcome.failure
        assert found is None
    else:
        check(strategy, found, [[each for each in grid.apps if each != node or asked in ([], ["decrypt"])]])


def test_after_a_round_whose_one_key_is_gone_the_next_deals_another():
    grid = grid_for("paillier")
    grid.lose = lambda node, phase: "silent" if phase == "decrypt" and len(grid.trips) == 3 else None
    strategy, found = run(grid, "paillier", 2)
    assert "no sum was opened" in strategy.outcomes[1].failure
    assert strategy.outcomes[2].contributors == set(map(str, grid.apps))
    wanted = {name: MODEL[name] + step for name, step in mean_step(list(grid.apps), 2).items()}
    close(found, wanted, strategy.outcomes[2].error_bound)


@pytest.mark.parametrize("scheme", sorted(TRIPS))
def test_too_few_are_a_named_error(scheme):
    grid = grid_for(scheme)
    first, second, *_ = grid.apps
    grid.lose = lambda node, phase: "silent" if node in (first, second) and phase == "encrypted" else None
    strategy, found = run(grid, scheme)
    assert strategy.outcomes[1].failure is not None
    assert found is None


@pytest.mark.parametrize("scheme", sorted(TRIPS))
def test_clients_have_to_name_them(scheme):
    grid = grid_of(NODES)
    strategy, _ = run(grid, scheme)
    assert strategy.outcomes[1].failure is not None
    assert all("this client allows ['secagg', 'secagg+']" in reply.error.reason for reply in grid.replies)


def test_a_key_that_several_nodes_share_lasts_and_saves_a_trip():
    """Dealt in advance, outside the rounds: each node's mod is given its own share, the server none."""
    grid = grid_of(5)
    holders = [str(node) for node in list(grid.apps)[:3]]
    with small_keys(256):
        keys = PaillierKeys.generate(holders, threshold=2, key_bits=256, entropy=SeededEntropy("flower"))
        for node in grid.apps:
            known = keys.share(str(node)) if str(node) in holders else keys.public
            grid.apps[node] = client_app((SecAggMod(scheme=PaillierSum(keys=known)),))
        lost = list(grid.apps)[1]
        grid.lose = lambda node, phase: (
            "silent" if node == lost and phase == "decrypt" and len(grid.trips) > 2 else None
        )
        strategy, found = run(grid, PaillierSum(keys=keys.public), 2, options=None)
    check(strategy, found, [list(grid.apps)] * 2)
    assert [phase for phase, _ in grid.trips] == ["encrypted", "decrypt"] * 2
