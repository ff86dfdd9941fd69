"""Every loss pattern ends exact over the contributors, or in TooFew exactly when the rule says so; and what comes out
is what pairwise masking gives for the same updates.

The rule is written here a second time, in sets and from the protocol's description alone.
"""

from collections.abc import Mapping

import numpy as np
import pytest

from secagg import aggregate
from secagg.errors import PartyId, TooFew
from secagg.scheme import Policy, Session
from secagg.testing import TestRound, all_losses, sampled_losses
from secagg_protocols import CkksSum, PairwiseMasking

PHASES = ("keys", "deal", "encrypted", "decrypt")
DIM = 3
MIN_COHORT = 3
"""Of the default policy, which every client has here."""


def vectors(n: int) -> dict[PartyId, np.ndarray]:
    draw = np.random.default_rng(n)
    return {party: draw.integers(0, 2**16, DIM, np.uint16) for party in range(n)}


def circle(among: set[int], start: int, n: int, count: int) -> list[int]:
    return sorted(among, key=lambda i: (i - start) % n)[:count]


def expected(session: Session, holders: int, quorum: int, lost: Mapping[PartyId, str]) -> set[int] | str:
    """The contributors, or the phase of TooFew."""
    n = len(session.parties)

    def present(phase: str) -> set[int]:
        return {i for i in range(n) if i not in lost or PHASES.index(lost[i]) > PHASES.index(phase)}

    advertised = present("keys")
    if len(advertised) < MIN_COHORT:
        return "keys"
    asked = circle(advertised, int.from_bytes(session.id, "little"), n, holders)
    dealers = sorted(set(asked) & present("deal"))
    if not dealers:
        return "deal"
    contributors = present("encrypted")
    holding = set(circle(advertised, dealers[0], n, holders)) & contributors
    if len(contributors) < MIN_COHORT or len(holding) < quorum:
        return "encrypted"
    if len(holding & present("decrypt")) < quorum:
        return "decrypt"
    return contributors


def check(n: int, holders: int, lost: dict[PartyId, str], quorum: int | None = None) -> str:
    """How it ended, "exact" or the phase of TooFew."""
    updates = vectors(n)
    session = Session.create(range(n), updates[0])
    outcome = expected(session, holders, min(2, holders) if quorum is None else quorum, lost)
    round_ = TestRound(CkksSum(holders, quorum), session, updates, lost=lost)
    if isinstance(outcome, str):
        with pytest.raises(TooFew) as error:
            round_.run()
        assert error.value.phase == outcome, lost
        assert error.value.answered < error.value.needed
        assert round_.coordinator.result is None
        return outcome
    out = round_.run()
    assert out.contributors == outcome, lost
    assert not out.misbehaved
    total = sum(updates[i].astype(np.uint64) for i in outcome)
    np.testing.assert_array_equal(out.ring_sum, total, err_msg=str(lost))
    return "exact"


@pytest.mark.parametrize(("holders", "quorum"), [(1, None), (2, 1), (3, None), (3, 1)])
def test_all_patterns_of_three(holders: int, quorum: int | None) -> None:
    seen = {check(3, holders, lost, quorum) for lost in all_losses(range(3), PHASES)}
    assert {"exact", "keys", "deal", "encrypted", "decrypt"} == seen


@pytest.mark.nightly
@pytest.mark.parametrize("holders", [1, 2, 4])
def test_all_patterns_of_four(holders: int) -> None:
    seen = {check(4, holders, lost) for lost in all_losses(range(4), PHASES)}
    assert {"exact", "keys", "deal", "encrypted", "decrypt"} == seen


@pytest.mark.parametrize("holders", [2, 3])
def test_sampled_patterns_of_seven(holders: int) -> None:
    seen = {check(7, holders, lost) for lost in sampled_losses(range(7), PHASES, 80, holders)}
    assert "exact" in seen
    assert len(seen) > 2


def inputs(kind: str, n: int) -> dict[PartyId, dict[str, np.ndarray]]:
    """Floats at the clip, at zero, or anywhere."""
    draw = np.random.default_rng(7)
    fill = {"+clip": 1.0, "-clip": -1.0, "zeros": 0.0}.get(kind)
    return {
        i: {"w": draw.normal(0, 0.5, (4, 5)) if fill is None else np.full((4, 5), fill), "b": np.zeros(2)}
        for i in range(n)
    }


@pytest.mark.parametrize("kind", ["random", "+clip", "-clip", "zeros"])
@pytest.mark.parametrize("bits", [2, 8, 16, 32])
def test_the_sum_is_that_of_pairwise_masking(kind: str, bits: int) -> None:
    updates = inputs(kind, 5)
    ours = aggregate(updates, CkksSum(), lost={2: "encrypted", 4: "keys"}, bits=bits)
    theirs = aggregate(updates, PairwiseMasking(threshold=3), lost={2: "masked", 4: "keys"}, bits=bits)
    assert ours.contributors == theirs.contributors == {0, 1, 3}
    np.testing.assert_array_equal(ours.ring_sum, theirs.ring_sum)
    assert ours.ring_sum.dtype == theirs.ring_sum.dtype
    np.testing.assert_array_equal(ours.mean["w"], theirs.mean["w"])


@pytest.mark.parametrize("kind", ["random", "+clip", "-clip", "zeros"])
def test_every_loss_before_the_sum_gives_that_of_pairwise_masking(kind: str) -> None:
    """All patterns of four clients, lost before the sum or not at all, where both families find enough of them."""
    updates = inputs(kind, 4)
    compared = 0
    for lost in all_losses(range(4), ["keys", "encrypted"]):
        if len(lost) > 1:
            continue
        ours = aggregate(updates, CkksSum(holders=4), lost=lost)
        masked = {party: "masked" if phase == "encrypted" else phase for party, phase in lost.items()}
        theirs = aggregate(updates, PairwiseMasking(threshold=3), lost=masked)
        assert ours.contributors == theirs.contributors
        np.testing.assert_array_equal(ours.ring_sum, theirs.ring_sum)
        compared += 1
    assert compared == 9


def test_a_lost_dealer_costs_nothing_but_its_place() -> None:
    """Two of three dealers are silent: the third deals, and holds the key."""
    updates = vectors(8)
    session = Session.create(range(8), updates[0])
    dealers = circle(set(range(8)), int.from_bytes(session.id, "little"), 8, 3)
    out = TestRound(CkksSum(), session, updates, lost=dict.fromkeys(dealers[:2], "deal")).run()
    assert out.lost == dict.fromkeys(dealers[:2], "deal")
    assert out.contributors == set(range(8)) - set(dealers[:2])


def test_weights_and_counters_do_not_wrap() -> None:
    """Weights of more bits than an entry travel in limbs, clipped entries are counted."""
    updates = {i: np.full(3, 9.0) for i in range(4)}
    options = {"bits": 4, "weights": dict.fromkeys(updates, 10**6), "weight_max": 10**6, "weight_min": 10**6}
    out = aggregate(updates, CkksSum(), policy=Policy(levels=1), **options)
    assert out.weight == 4 * 10**6
    np.testing.assert_array_equal(out.mean, [1.0] * 3)
