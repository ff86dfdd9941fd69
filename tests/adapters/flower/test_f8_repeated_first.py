"""Flower may deliver a message twice. A first ask that was answered by fresh keys each time would cost the client its
round, and give a server two advertisements of one client in one session. A client that is in a session already answers
a repeated ask by the same bytes, whatever the phase, until it has answered the last one; then it is in no round, and
says so.
"""

import pytest
from federation import MemoryGrid, client_app, grid_of, model_record, phase_of
from flwr.serverapp.strategy import FedAvg

from secagg.adapters.flower import SecureAggregation


@pytest.mark.parametrize("phase", ["keys", "shares", "masked", "unmask"])
def test_an_ask_that_comes_twice_is_answered_once(phase):
    answers = []

    class Repeating(MemoryGrid):
        def _deliver(self, message):
            first = super()._deliver(message)
            if phase_of(message) == phase and message.metadata.dst_node_id == min(self.apps):
                answers.append((first, super()._deliver(message)))
            return first

    grid = Repeating({node: client_app() for node in grid_of(4).apps})
    strategy = SecureAggregation(FedAvg(fraction_evaluate=0.0), weight_max=400)
    strategy.start(grid, model_record(), num_rounds=1)
    outcome, ((first, again),) = strategy.outcomes[1], answers
    assert (outcome.failure, outcome.lost, outcome.accused) == (None, {}, {})
    if phase == "unmask":
        assert again.error.reason.startswith("StateError: this client is in no round")
    else:
        assert again.content == first.content
