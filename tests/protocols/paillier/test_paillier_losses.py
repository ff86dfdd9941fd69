"""Every loss pattern of small cohorts ends exact over the contributors, or in TooFew exactly when the rule says so; and
the sum is the one that pairwise masking gives. The rule is written here a second time, from the protocol's description.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
from smallkeys import keys_of, make_round, sum_of, updates_of

from secagg.api import aggregate
from secagg.errors import PartyId, TooFew
from secagg.scheme import Policy
from secagg.testing import all_losses
from secagg_protocols import PaillierSum, PairwiseMasking

KINDS = {
    "fresh": PaillierSum,
    "two of three clients": lambda: PaillierSum(keys=keys_of((0, 1, 2), 2)),
    "two clients and a helper": lambda: PaillierSum(keys=keys_of((0, 2, "auditor"), 2), helpers=["auditor"]),
    "two helpers": lambda: PaillierSum(keys=keys_of(("auditor", "notary"), 2), helpers=["auditor", "notary"]),
}
TWO = Policy(min_cohort=2)
Lost = Mapping[PartyId, str]


def make(kind):
    return PaillierSum(128) if kind == "fresh" else KINDS[kind]()


def present(parties, lost: Lost, phases, phase):
    return {i for i in parties if i not in lost or phases.index(lost[i]) > phases.index(phase)}


def expected(scheme, clients, lost: Lost):
    """The contributors, or the phase of TooFew."""
    phases = [phase.name for phase in scheme.phases]
    if scheme.keys is None:
        dealt = present(clients[:3], lost, phases, "deal")
        if not dealt:
            return "deal"
        holders, threshold = [min(dealt)], 1
    else:
        holders, threshold = scheme.keys.holders, scheme.keys.threshold
    contributors = present(clients, lost, phases, "encrypted")
    asked = [i for i in holders if i in contributors or i not in clients]
    if len(contributors) < 2 or len(asked) < threshold:
        return "encrypted"
    return contributors if len(present(asked, lost, phases, "decrypt")) >= threshold else "decrypt"


@pytest.mark.parametrize("kind", KINDS)
def test_all_patterns_of_four(kind):
    scheme, updates = make(kind), updates_of(4, dim=3)
    parties = [*updates, *sorted(scheme.helpers)]
    phases = [phase.name for phase in scheme.phases]
    outcomes = Counter()
    for lost in all_losses(parties, phases):
        if any(at == "encrypted" for helper, at in lost.items() if helper in scheme.helpers):
            continue  # a helper has no such phase; "decrypt" says the same
        wanted = expected(scheme, list(updates), lost)
        round_ = make_round(scheme, updates, lost=lost, policy=TWO)
        if isinstance(wanted, str):
            outcomes[wanted] += 1
            with pytest.raises(TooFew) as error:
                round_.run()
            assert error.value.phase == wanted, lost
            assert error.value.answered < error.value.needed
            assert round_.coordinator.result is None
        else:
            outcomes["exact"] += 1
            out = round_.run()
            assert out.contributors == wanted, lost
            assert set(updates) - wanted <= set(out.lost) <= set(lost), lost
            np.testing.assert_array_equal(out.ring_sum, sum_of(updates, wanted), err_msg=str(lost))
    assert set(outcomes) == {"exact", *phases}


UPDATES = {
    "random": np.random.default_rng(1).normal(0, 0.7, (4, 40)),
    "all +clip": np.full((4, 40), 1.0),
    "all -clip": np.full((4, 40), -1.0),
    "beyond the clip": np.full((4, 40), 9.0),
    "zeros": np.zeros((4, 40)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("values", UPDATES)
def test_the_sum_is_that_of_pairwise_masking(kind, values):
    """For every set of contributors that is left, and as pairwise masking sums the same set."""
    updates = dict(enumerate(UPDATES[values]))
    compared = 0
    for lost in all_losses(list(updates), ["encrypted"]):
        try:
            here = aggregate(updates, make(kind), lost=lost, policy=TWO)
        except TooFew:
            continue
        left = {i: updates[i] for i in here.contributors}
        there = aggregate(left, PairwiseMasking(), policy=TWO)
        compared += 1
        assert set(left) == set(updates) - set(lost)
        np.testing.assert_array_equal(here.ring_sum, there.ring_sum)
        np.testing.assert_array_equal(here.mean, there.mean)
        assert (here.weight, here.saturated) == (there.weight, there.saturated)
    assert compared >= 7


@pytest.mark.parametrize("kind", KINDS)
def test_a_weighted_mean_is_within_its_bound(kind):
    updates, weights = dict(enumerate(UPDATES["random"])), {0: 1, 1: 7, 2: 100, 3: 33}
    out = aggregate(updates, make(kind), weights=weights, weight_max=100, lost={1: "encrypted"}, policy=TWO)
    left = {i: weights[i] for i in out.contributors}
    expected = np.average([np.clip(updates[i], -1, 1) for i in left], axis=0, weights=list(left.values()))
    assert (set(left), out.weight) == ({0, 2, 3}, 134)
    assert np.abs(out.mean - expected).max() <= out.error_bound
