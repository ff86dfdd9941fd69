"""The server multiplies each client's ciphertexts in as they come: its memory is one vector's, for any number."""

import tracemalloc

import numpy as np
from smallkeys import keys_of, make_round

from secagg_protocols import PaillierSum

DIM = 10_000


def peak_while_ciphertexts_arrive(n):
    """Bytes allocated at most, beyond what there was, while n clients' vectors are received and the phase closes."""
    updates = {i: np.zeros(DIM, np.uint16) for i in range(n)}
    held = []

    def hold_back(phase, party, message):
        if phase != "encrypted":
            return message
        held.append((party, message))
        return None

    round_ = make_round(PaillierSum(keys=keys_of((0, 1, 2), 2)), updates, replies=hold_back)
    round_.exchange()
    tracemalloc.start()
    try:
        for party, reply in held:
            round_.coordinator.receive(party, reply)
        round_.coordinator.close_phase()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert round_.run().contributors == frozenset(updates)
    return peak


def test_memory_is_one_vector_for_any_number_of_clients():
    peak_while_ciphertexts_arrive(4)
    few, many = peak_while_ciphertexts_arrive(8), peak_while_ciphertexts_arrive(40)
    assert abs(many - few) < 32 * 4096 + few // 4
