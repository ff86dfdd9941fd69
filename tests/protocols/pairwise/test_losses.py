"""Every loss pattern ends exact over the contributors, or in TooFew exactly when the threshold rule says so.

The rule is written here a second time, in sets and from the protocol's description alone.
"""

from collections.abc import Mapping, Set

import numpy as np
import pytest

from secagg.errors import PartyId, TooFew
from secagg.scheme import Session
from secagg.testing import TestRound, all_losses, opened, sampled_losses
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import AskShares, unpack_indices

PHASES = ("keys", "shares", "masked", "unmask")
DIM = 3


def vectors(n: int) -> dict[PartyId, np.ndarray]:
    draw = np.random.default_rng(n)
    return {party: draw.integers(0, 2**16, DIM, np.uint16) for party in range(n)}


def present(n: int, lost: Mapping[PartyId, str], phase: str) -> set[int]:
    """Who answers in `phase`, as far as silence goes."""
    return {i for i in range(n) if i not in lost or PHASES.index(lost[i]) > PHASES.index(phase)}


def expected_complete(n: int, threshold: int, lost: Mapping[PartyId, str]) -> set[int] | str:
    """The contributors, or the phase of TooFew. In the complete graph everybody holds a share of every secret."""
    for phase in PHASES:
        if len(present(n, lost, phase)) < threshold:
            return phase
    return present(n, lost, "masked")


@pytest.mark.parametrize("first", [None, *PHASES])
def test_secagg_all_patterns_of_five(first: str | None) -> None:
    n, threshold, updates = 5, 4, vectors(5)
    outcomes = {"exact": 0, "too few": 0}
    for rest in all_losses(range(1, n), PHASES):
        lost = rest if first is None else {0: first, **rest}
        expected = expected_complete(n, threshold, lost)
        round_ = TestRound(PairwiseMasking(), Session.create(range(n), updates[0]), updates, lost=lost)
        if isinstance(expected, str):
            outcomes["too few"] += 1
            with pytest.raises(TooFew) as error:
                round_.run()
            assert error.value.phase == expected, lost
            assert error.value.answered == len(present(n, lost, expected)), lost
            assert error.value.needed == threshold
            assert round_.coordinator.result is None
        else:
            outcomes["exact"] += 1
            out = round_.run()
            assert out.contributors == expected, lost
            assert out.lost == lost
            total = sum(updates[i].astype(np.uint64) for i in expected)
            np.testing.assert_array_equal(out.ring_sum, total, err_msg=str(lost))
    assert sum(outcomes.values()) == 5**4
    assert outcomes["exact"] > 0


def core(members: Set[int], neighbours: Mapping[int, Set[int]], threshold: int) -> set[int]:
    """Drop whoever has fewer than `threshold` neighbours left, until nobody has."""
    left = set(members)
    while short := {i for i in left if len(neighbours[i] & left) < threshold}:
        left -= short
    return left


def expected_regular(
    lost: Mapping[PartyId, str], n: int, threshold: int, neighbours: Mapping[int, Set[int]]
) -> tuple[str, set[int]]:
    """("TooFew" phase or "exact", members after shares)."""
    members = core(present(n, lost, "shares"), neighbours, threshold)
    if not members:
        return "shares", members
    contributors = members & present(n, lost, "masked")
    for phase in ("masked", "unmask"):
        answering = members & present(n, lost, phase)
        needed = [i for i in members if i in contributors or neighbours[i] & contributors]
        if not contributors or any(len(neighbours[i] & answering) < threshold for i in needed):
            return phase, members
    return ("exact" if len(contributors) >= 3 else "unmask"), members


@pytest.mark.parametrize("seed", range(4))
def test_secagg_plus_sampled_patterns_of_seven(seed: int) -> None:
    n, threshold, updates = 7, 3, vectors(7)
    seen = set()
    for lost in sampled_losses(range(n), PHASES, 120, seed):
        session = Session.create(range(n), updates[0])
        round_ = TestRound(PairwiseMasking(neighbours=4), session, updates, lost=lost)
        answers_keys = sorted(present(n, lost, "keys"))
        if len(answers_keys) < threshold + 1:
            with pytest.raises(TooFew) as error:
                round_.step()
            assert error.value.phase == "keys"
            continue
        round_.step()
        neighbours = neighbourhoods(round_, answers_keys)
        outcome, members = expected_regular(lost, n, threshold, neighbours)
        seen.add(outcome)
        if outcome == "exact":
            out = round_.run()
            contributors = members & present(n, lost, "masked")
            assert out.contributors == contributors, lost
            total = sum(updates[i].astype(np.uint64) for i in contributors)
            np.testing.assert_array_equal(out.ring_sum, total, err_msg=str(lost))
            left_behind = present(n, lost, "shares") - members
            assert out.lost == {**lost, **dict.fromkeys(left_behind, "masked")}
        else:
            with pytest.raises(TooFew) as error:
                round_.run()
            assert error.value.phase == outcome, lost
            assert error.value.answered < error.value.needed
    assert {"shares", "masked", "unmask", "exact"} <= seen


def neighbourhoods(round_: TestRound, nodes: list[int]) -> dict[int, set[int]]:
    """The graph, read from what the server tells each client."""
    asks = round_.coordinator.asks()
    return {i: set(unpack_indices(opened(asks[i], AskShares).parties, 7)) for i in nodes}
