"""A masked vector says nothing: for a fixed input it is uniform, and stays so until its last mask is known."""

from itertools import combinations

import numpy as np
import pytest
from scipy.special import gammaincc

from secagg.encoding.packing import unpack
from secagg.errors import PartyId
from secagg.scheme import Session
from secagg.testing import SeededEntropy, TestRound, opened
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise import party as party_module
from secagg_protocols.pairwise.messages import Masked

DIM = 2048
RUNS = 24
N = 4
P_VALUE = 1e-6  # entropy is seeded, so a pass is a pass for ever


def chi_square_p(counts: np.ndarray) -> float:
    """P[chi-square at least this large], if all cells are equally likely."""
    expected = counts.sum() / counts.size
    statistic = float(((counts - expected) ** 2).sum() / expected)
    return float(gammaincc((counts.size - 1) / 2, statistic / 2))


def assert_uniform(samples: np.ndarray) -> None:
    """Per byte: every value as often. Per bit position of the lane: as many ones as zeros."""
    octets = samples.view(np.uint8).reshape(-1, samples.itemsize)
    for column in octets.T:
        assert chi_square_p(np.bincount(column, minlength=256)) > P_VALUE
    bits = np.unpackbits(octets, axis=1)
    for ones in bits.sum(axis=0):
        assert chi_square_p(np.array([ones, len(bits) - ones])) > P_VALUE


@pytest.fixture
def masked_runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(masked vector, seeds, signs) of one client over many rounds with one fixed input."""
    captured: list[tuple[np.ndarray, np.ndarray]] = []
    add_masks = party_module.prg.add_masks

    def spy(acc: np.ndarray, seeds: np.ndarray, signs: np.ndarray) -> None:
        captured.append((seeds.copy(), signs.copy()))
        add_masks(acc, seeds, signs)

    updates: dict[PartyId, np.ndarray] = {i: np.zeros(DIM, np.uint16) for i in range(N)}
    entropy = SeededEntropy(b"one fixed input")
    runs = []
    for _ in range(RUNS):
        # 30 bits in a cohort of 4 make a ring of exactly 32, so that the whole lane is on the wire.
        session = Session.create(range(N), updates[0], bits=30, entropy=entropy)
        round_ = TestRound(PairwiseMasking(), session, updates, entropy=entropy)
        round_.step()
        round_.step()
        captured.clear()
        monkeypatch.setattr(party_module.prg, "add_masks", spy)
        round_.exchange()
        monkeypatch.setattr(party_module.prg, "add_masks", add_masks)
        reply = opened(round_.sent["masked", 0], Masked)
        runs.append((unpack(reply.vector, session.dim, session.ring)[:DIM], *captured[0]))
    return runs


def test_uniform_for_a_fixed_input(masked_runs: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
    assert masked_runs[0][0].dtype == np.uint32
    assert_uniform(np.concatenate([masked for masked, _, _ in masked_runs]))


def test_any_all_but_one_masks_leave_it_uniform(
    masked_runs: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> None:
    masks = len(masked_runs[0][1])
    assert masks == N  # its own, and one a neighbour
    for known in combinations(range(masks), masks - 1):
        rest = []
        for masked, seeds, signs in masked_runs:
            left = masked.copy()
            party_module.prg.add_masks(left, seeds[list(known)], -signs[list(known)])
            rest.append(left)
        assert_uniform(np.concatenate(rest))


def test_all_masks_leave_the_input(masked_runs: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
    for masked, seeds, signs in masked_runs:
        party_module.prg.add_masks(masked, seeds, -signs)
        np.testing.assert_array_equal(masked, 0)


def test_the_same_input_never_looks_alike(
    masked_runs: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> None:
    assert len({masked.tobytes() for masked, _, _ in masked_runs}) == RUNS
    assert len({seed.tobytes() for _, seeds, _ in masked_runs for seed in seeds}) == RUNS * N
