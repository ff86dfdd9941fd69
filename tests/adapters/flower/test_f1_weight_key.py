"""The server tells each client which of its metrics is the weight, and may tell each another. All but the victim are
told to weigh by their number of local epochs, which is 1. Of one weighted mean over six the server takes off what five
unit weights can be at most, and reads the victim's update and its number of examples. Active mode, honest clients, one
round. A session's context covers the invitation (`Invitation.weighted_by`), so the others refuse; under one that does
not, and clients whose policy takes any weights, nobody does.
"""

import msgspec
import numpy as np
import pytest
from federation import MODEL, MemoryGrid, model_record, step_of
from flwr.app import ConfigRecord, RecordDict
from lying import CLIP, Federation, refusals, replied, sent

from secagg import Policy
from secagg.adapters.flower import SecAggMod
from secagg.federation.messages import Invitation

NODES = 6
FEDERATION = Federation(NODES)
VICTIM = FEDERATION.nodes[2]
FLOAT32 = 1e-6
"""What the model's own dtype may round away."""


def examples_of(node):
    return 400 + node % 50


def train(message, context):
    arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
    moved = {n: (a + step_of(context.node_id, 1, a.shape)).astype(a.dtype) for n, a in arrays.items()}
    metrics = {"num-examples": examples_of(context.node_id), "local-epochs": 1}
    return replied(message, model_record(moved), **metrics)


class OtherNames(MemoryGrid):
    """Tells all but the victim another name."""

    def _deliver(self, message):
        header = message.content["secagg"]
        if "terms" in header and message.metadata.dst_node_id != VICTIM:
            told = msgspec.structs.replace(Invitation.from_bytes(header["terms"]), weighted_by="local-epochs")
            changed = ConfigRecord({**header, "terms": told.to_bytes()})
            message = sent(message, RecordDict({**message.content, "secagg": changed}))
        return super()._deliver(message)


ANY_WEIGHT = {
    "weights": "1,450",
    "mod": SecAggMod(Policy(weight_ratio=450), credentials=lambda context: FEDERATION.known[str(context.node_id)]),
}
"""Of clients that a session of weights from 1 on suits, as it does not suit those with the default policy."""
HOW = {"weight_max": 450, "weight_min": 1}


ANY_NAME = "secagg.federation.client.Limits.check", lambda *_: None
"""Clients that take the server's word for the name of their weight."""


@pytest.mark.parametrize("declared", [True, False])
def test_clients_that_were_told_another_name_share_no_sum(declared, monkeypatch):
    if not declared:
        monkeypatch.setattr(*ANY_NAME)
    grid = FEDERATION.grid(train, OtherNames, **ANY_WEIGHT)
    outcome, found = FEDERATION.run(grid, model_record(), **HOW)
    assert outcome.failure is not None
    assert found is None
    told = refusals(grid)
    assert set(told) == set(FEDERATION.nodes) - {VICTIM}
    why = "PolicyRefused: weights by 'local-epochs': this client's have another name"
    assert all(reason.startswith(why if declared else "InconsistentModel") for reason in told.values())


def test_the_default_policy_takes_no_part_where_weights_may_be_so_far_apart():
    grid = FEDERATION.grid(train, weights="1,450")
    outcome, _ = FEDERATION.run(grid, model_record(), **HOW)
    assert outcome.failure is not None
    assert set(refusals(grid)) == set(FEDERATION.nodes)
    assert all(reason.startswith("PolicyRefused: weights 1..450") for reason in refusals(grid).values())


def test_with_a_context_without_the_invitation_one_weighted_mean_is_one_clients_update(monkeypatch):
    monkeypatch.setattr(*ANY_NAME)
    for end in ("client", "round"):
        monkeypatch.setattr(f"secagg.federation.{end}.session_context", lambda received, terms: received)
    grid = FEDERATION.grid(train, OtherNames, **ANY_WEIGHT)
    outcome, found = FEDERATION.run(grid, model_record(), **HOW)
    assert len(outcome.contributors) == NODES
    assert refusals(grid) == {}
    weight = outcome.weight - (NODES - 1)
    assert weight == examples_of(VICTIM)
    for name, array in MODEL.items():
        read = (found[name] - array) * outcome.weight / weight
        most = ((NODES - 1) * CLIP + outcome.error_bound[name] * outcome.weight) / weight
        assert most < 0.03
        assert np.abs(read - step_of(VICTIM, 1, array.shape)).max() <= most + FLOAT32


def test_without_the_lie_it_is_the_mean_of_six():
    outcome, found = FEDERATION.run(FEDERATION.grid(train, weights="400,450"), model_record(), weight_max=450)
    assert outcome.weight == sum(map(examples_of, FEDERATION.nodes))
    off = (found["bias"] - MODEL["bias"]) - step_of(VICTIM, 1, (3,))
    assert np.abs(off).max() > 0.1
