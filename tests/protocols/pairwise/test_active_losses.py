"""Active mode, every loss pattern: exact over the contributors, or TooFew exactly when the rule says so.

The rule is written here a second time, in sets. A client speaks at "unmask" only if it signed the contributors and can
be shown `threshold` signatures of holders of its own shares, so "consistency" is a threshold of its own.
"""

from collections.abc import Mapping, Set

import numpy as np
import pytest

from secagg.errors import PartyId, TooFew
from secagg.scheme import Session
from secagg.testing import SeededEntropy, TestRound, all_losses, sampled_losses
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.server import Dealing

PHASES = ("keys", "shares", "masked", "consistency", "unmask")
DIM = 3
Neighbours = Mapping[int, Set[int]]


def vectors(n: int) -> dict[PartyId, np.ndarray]:
    draw = np.random.default_rng(n)
    return {party: draw.integers(0, 2**16, DIM, np.uint16) for party in range(n)}


def present(n: int, lost: Mapping[PartyId, str], phase: str) -> set[int]:
    """Who answers in `phase`, as far as silence goes."""
    return {i for i in range(n) if i not in lost or PHASES.index(lost[i]) > PHASES.index(phase)}


def assert_exact(round_: TestRound, updates: Mapping[PartyId, np.ndarray], contributors: Set[int]) -> None:
    out = round_.run()
    assert out.contributors == contributors
    assert not out.misbehaved
    assert not round_.refusals
    np.testing.assert_array_equal(out.ring_sum, sum(updates[i].astype(np.uint64) for i in contributors))


@pytest.mark.parametrize("first", [None, *PHASES])
def test_secagg_all_patterns_of_four(first: str | None) -> None:
    """In the complete graph everybody holds a share of every secret: all phases need `threshold` answers."""
    n, threshold, updates = 4, 3, vectors(4)
    session = Session.create(range(n), updates[0])
    assert PairwiseMasking(adversary="active").parameters(session).threshold == threshold
    seen = set()
    for rest in all_losses(range(1, n), PHASES):
        lost = rest if first is None else {0: first, **rest}
        under = next((phase for phase in PHASES if len(present(n, lost, phase)) < threshold), "exact")
        seen.add(under)
        round_ = TestRound(PairwiseMasking(adversary="active"), session, updates, lost=lost)
        if under == "exact":
            assert_exact(round_, updates, present(n, lost, "masked"))
            assert round_.coordinator.lost == lost
            continue
        with pytest.raises(TooFew) as error:
            round_.run()
        assert (error.value.phase, error.value.needed) == (under, threshold), lost
        assert error.value.answered == len(present(n, lost, under)), lost
        assert round_.coordinator.result is None
    assert "exact" in seen
    assert seen >= {phase for phase in PHASES if first is None or PHASES.index(phase) >= PHASES.index(first)}


def core(members: Set[int], neighbours: Neighbours, threshold: int) -> set[int]:
    """Drop whoever has fewer than `threshold` neighbours left, until nobody has."""
    left = set(members)
    while short := {i for i in left if len(neighbours[i] & left) < threshold}:
        left -= short
    return left


def expected_regular(
    n: int, lost: Mapping[PartyId, str], threshold: int, neighbours: Neighbours
) -> tuple[str, set[int], set[int]]:
    """("exact" or the phase of TooFew, members after "shares", contributors)."""
    members = core(present(n, lost, "shares"), neighbours, threshold)
    contributors = members & present(n, lost, "masked")
    if not members:
        return "shares", members, contributors
    needed = [i for i in members if i in contributors or neighbours[i] & contributors]
    signed = contributors & present(n, lost, "consistency")
    speakers = {i for i in signed if len(neighbours[i] & signed) >= threshold}
    answering = {"masked": contributors, "consistency": speakers, "unmask": speakers & present(n, lost, "unmask")}
    for phase, answers in answering.items():
        if not contributors or any(len(neighbours[i] & answers) < threshold for i in needed):
            return phase, members, contributors
    assert speakers == signed  # a signer that cannot speak is a contributor whose own seed lacks holders
    return "exact", members, contributors


@pytest.mark.parametrize("seed", range(2))
def test_secagg_plus_sampled_patterns_of_eight(seed: int) -> None:
    n, threshold, updates = 8, 3, vectors(8)
    scheme = PairwiseMasking(neighbours=4, adversary="active")
    session = Session.create(range(n), updates[0])
    assert scheme.parameters(session).threshold == threshold
    entropy = SeededEntropy(seed)
    seen = set()
    for lost in sampled_losses(range(n), PHASES, 80, seed):
        round_ = TestRound(scheme, session, updates, lost=lost, entropy=entropy)
        if len(present(n, lost, "keys")) < threshold + 1:
            with pytest.raises(TooFew) as error:
                round_.step()
            assert error.value.phase == "keys"
            continue
        round_.step()
        outcome, members, contributors = expected_regular(n, lost, threshold, neighbourhoods(round_))
        seen.add(outcome)
        if outcome == "exact":
            assert_exact(round_, updates, contributors)
            left_behind = present(n, lost, "shares") - members
            assert round_.coordinator.lost == {**lost, **dict.fromkeys(left_behind, "masked")}
            continue
        with pytest.raises(TooFew) as error:
            round_.run()
        assert error.value.phase == outcome, lost
        assert error.value.answered < error.value.needed, lost
    assert seen == {"shares", "masked", "consistency", "unmask", "exact"}


def neighbourhoods(round_: TestRound) -> dict[int, set[int]]:
    """The graph that server and clients draw from the advertisements (its own tests: `test_graph`)."""
    stage = round_.coordinator._stage
    assert isinstance(stage, Dealing)
    graph = stage.roll.graph(round_.coordinator._known)
    return {i: set(near) for i, near in graph.neighbours.items()}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("neighbours", [None, 6])
def test_restored_at_every_boundary(phase: str, neighbours: int | None) -> None:
    """Both ends saved, forgotten and restored between any two calls, with a client lost at each phase."""
    n, updates = 9, vectors(9)
    scheme = PairwiseMasking(neighbours=neighbours, adversary="active")
    lost: dict[PartyId, str] = {4: phase}
    round_ = TestRound(scheme, Session.create(range(n), updates[0]), updates, lost=lost, restart=True)
    everybody = set(range(n))
    assert_exact(round_, updates, everybody - {4} if phase in PHASES[:3] else everybody)
    assert round_.coordinator.lost == lost


def test_too_few_signatures_say_so() -> None:
    """Two signed: that is what is said, though nobody could have spoken for want of a third."""
    updates = vectors(4)
    lost: dict[PartyId, str] = {0: "consistency", 1: "consistency"}
    round_ = TestRound(PairwiseMasking(adversary="active"), Session.create(range(4), updates[0]), updates, lost=lost)
    with pytest.raises(TooFew, match="phase 'consistency': 2 holders of one client's shares signed the set, 3 needed"):
        round_.run()
