"""A server names so small a clip that every entry of every client is its sign, times its weight. An entry of the sum is
then one of 2^n sums of known numbers with signs, most of which lie apart, so it says the sign of each client: no client
has to be heavier than the others, none is lost, and rounding moves a sum by a few steps of some hundred.

A client bounds clips by its own range, which has to be near what updates of its model are like. What is few-valued of
itself, such as a column of zeros and ones, is open to the same arithmetic at any clip, as the last test shows: sum such
entries without weights, or with noise.
"""

from itertools import product

import numpy as np
import pytest
from weighed import NoLimits, session_of, summed

from secagg import Policy
from secagg.errors import PolicyRefused

WEIGHTS = dict(enumerate((212, 845, 431, 1390, 98, 977, 640, 303)))
"""Examples of eight hospitals, such as their annual reports say."""
FORMAT = {"bits": 16, "weight_max": 2000}
TWIN, OURS = NoLimits(min_cohort=5), Policy(min_cohort=5)


def updates_of(entries=2000):
    return {i: np.random.default_rng(i).normal(0, 0.01, entries) for i in WEIGHTS}


def steps():
    """Of each client's weight at the clip, as real numbers."""
    return np.array([*WEIGHTS.values()]) / FORMAT["weight_max"] * (2 ** (FORMAT["bits"] - 1) - 1)


def nearest_sum(entries, values):
    """For each entry the choice of `values` by the clients whose weighted sum lies nearest: (entries, clients)."""
    choices = np.array([*product(values, repeat=len(WEIGHTS))], dtype=float)
    sums = choices @ steps()
    order = np.argsort(sums)
    middles = (sums[order][1:] + sums[order][:-1]) / 2
    return choices[order][np.searchsorted(middles, entries)]


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_at_a_tiny_clip_nearly_all_signs_of_all_clients_are_read(rounding):
    updates = updates_of()
    entries = summed(session_of(updates, rounding=rounding, clip=1e-9, **FORMAT), updates, WEIGHTS, TWIN)
    signs = np.sign(np.stack([*updates.values()], axis=1))
    assert (nearest_sum(entries, (-1, 1)) == signs).mean() > 0.9


def test_a_client_takes_no_clip_outside_its_range():
    updates = updates_of(20)
    for policy, clip in ((OURS, 1e-9), (OURS, 1e9), (Policy(clip=(1e-2, 1.0)), 1e-3)):
        with pytest.raises(PolicyRefused, match=r"clip of .* is .*: this party's policy allows .* \(Policy.clip\)"):
            summed(session_of(updates, clip=clip, **FORMAT), updates, WEIGHTS, policy)


def test_the_default_range_is_wide_and_the_narrow_one_of_the_model_is_the_defence():
    """A hundredth of what updates are like is still within the default range, and leaves little but signs."""
    updates, clip = updates_of(), 1e-4
    session = session_of(updates, clip=clip, **FORMAT)
    entries = summed(session, updates, WEIGHTS, OURS)
    signs = np.sign(np.stack([*updates.values()], axis=1))
    assert (nearest_sum(entries, (-1, 1)) == signs).mean() > 0.9
    with pytest.raises(PolicyRefused, match=r"\(Policy.clip\)"):
        summed(session, updates, WEIGHTS, Policy(min_cohort=5, clip=(0.02, 0.5)))


def test_at_a_clip_in_the_range_signs_are_hidden_among_magnitudes():
    """Half of them are right by chance."""
    updates = updates_of()
    entries = summed(session_of(updates, clip=0.05, **FORMAT), updates, WEIGHTS, OURS)
    signs = np.sign(np.stack([*updates.values()], axis=1))
    assert (nearest_sum(entries, (-1, 1)) == signs).mean() < 0.55


def test_zeros_and_ones_are_read_at_any_clip():
    """Documented, not prevented: an exact weighted sum of few-valued entries says what its terms were."""
    updates = {i: np.random.default_rng(i).integers(0, 2, 2000).astype(float) for i in WEIGHTS}
    entries = summed(session_of(updates, clip=1.0, **FORMAT), updates, WEIGHTS, OURS)
    assert (nearest_sum(entries, (0, 1)) == np.stack([*updates.values()], axis=1)).mean() > 0.9
