"""The server folds each ciphertext in as it comes: what it keeps does not grow with the number of clients."""

import tracemalloc

import numpy as np

from secagg.errors import PartyId
from secagg.scheme import Session
from secagg.testing import TestRound
from secagg_protocols import CkksSum

DIM = 20_000


def peak_and_state_while_ciphertexts_arrive(n: int) -> tuple[int, int]:
    """Bytes that Python and NumPy allocate at most while n ciphertexts are received, and the server's saved state."""
    update = np.zeros(DIM, np.uint16)
    updates: dict[PartyId, np.ndarray] = dict.fromkeys(range(n), update)
    session = Session.create(range(n), update, bits=16)
    held: list[tuple[PartyId, bytes]] = []

    def hold_back(phase: str, party: PartyId, message: bytes) -> bytes | None:
        if phase != "encrypted":
            return message
        held.append((party, message))
        return None

    round_ = TestRound(CkksSum(), session, updates, replies=hold_back)
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
    saved = len(round_.coordinator._round._machine.save())
    assert round_.run().contributors == frozenset(updates)
    return peak, saved


def test_memory_is_one_sum_for_any_number_of_clients() -> None:
    peak_and_state_while_ciphertexts_arrive(4)  # compiles what is compiled once
    (few, kept), (many, kept_of_many) = (peak_and_state_while_ciphertexts_arrive(n) for n in (8, 32))
    vector, per_client = DIM * 8, 4_096
    assert many - few < 24 * per_client
    assert many < 4 * vector + 32 * per_client
    assert kept_of_many - kept < DIM * 2 + 24 * 200  # two or three more bits a coefficient, and each client's key
