"""The server folds each masked vector in as it comes: its memory does not grow with the number of clients."""

import tracemalloc

import numpy as np

from secagg.errors import PartyId
from secagg.scheme import Session
from secagg.testing import SeededEntropy, TestRound
from secagg_protocols import PairwiseMasking

DIM = 50_000


def peak_while_vectors_arrive(n: int) -> int:
    """Bytes allocated at most, beyond what there was, while n masked vectors are received and the phase closes."""
    update = np.zeros(DIM, np.uint16)
    updates: dict[PartyId, np.ndarray] = dict.fromkeys(range(n), update)
    session = Session.create(range(n), update, bits=16)
    held: list[tuple[PartyId, bytes]] = []

    def hold_back(phase: str, party: PartyId, message: bytes) -> bytes | None:
        if phase != "masked":
            return message
        held.append((party, message))
        return None

    scheme = PairwiseMasking(neighbours=4)
    round_ = TestRound(scheme, session, updates, entropy=SeededEntropy(n), replies=hold_back)
    round_.step()
    round_.step()
    round_.exchange()
    assert len(held) == n
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


def test_memory_is_one_vector_for_any_number_of_clients() -> None:
    peak_while_vectors_arrive(6)  # compiles what is compiled once
    few, many = peak_while_vectors_arrive(8), peak_while_vectors_arrive(64)
    vector = DIM * 4
    per_client = 4_096  # bookkeeping of one client: its place, its digest, room for the shares to come
    assert many - few < 56 * per_client
    assert many < 4 * vector + 64 * per_client
