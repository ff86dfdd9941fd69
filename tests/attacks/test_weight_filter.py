"""A server names `bits`, `clip` and `weight_max` so that all clients but the heaviest send zeros: where the share of a
client's weight moves no entry by half a step, nearest rounding makes nothing of its update. The sum is in order and
over all ten; what it holds is one client's. Active mode, honest clients, each with its own context and ledger."""

import numpy as np
import pytest
from weighed import CLIENTS, NoLimits, session_of, summed

from secagg import Policy, Session, Store
from secagg.errors import OutOfRange, PolicyRefused

VICTIM = 4
BARELY = {i: 100 + (i == VICTIM) for i in CLIENTS}
"""The victim has one example more than the others."""
FAR = {i: 1000 if i == VICTIM else 10 + i for i in CLIENTS}
SIGNS = {"bits": 2, "clip": 1e-280, "weight_min": 1, "weight_max": 201}
LEVELS, HEAVIEST = 127, 1000
VECTOR = {"bits": 8, "clip": 1.0, "weight_min": 1, "weight_max": LEVELS * HEAVIEST // 26}
TWIN, OURS = NoLimits(min_cohort=5), Policy(min_cohort=5)


def drawn(entries, clients=CLIENTS):
    draw = np.random.default_rng(3)
    return {i: update for i in CLIENTS for update in [draw.normal(0, 0.3, entries).clip(-1, 1)] if i in clients}


def test_one_example_more_and_the_sum_is_the_signs_of_one_update():
    """At two bits a step is the clip: 101 of 201 is more than half of it, and 100 of 201 is less."""
    updates = drawn(2000)
    signs = summed(session_of(updates, rounding="nearest", **SIGNS), updates, BARELY, TWIN)
    np.testing.assert_array_equal(signs, np.sign(updates[VICTIM]))


def test_fifty_times_the_weight_and_the_sum_is_one_quantized_update():
    updates, weight_max = drawn(2000), VECTOR["weight_max"]
    entries = summed(session_of(updates, rounding="nearest", **VECTOR), updates, FAR, TWIN)
    np.testing.assert_array_equal(entries, np.rint(updates[VICTIM] * HEAVIEST / weight_max * LEVELS))
    step = weight_max / HEAVIEST / LEVELS
    assert step < 0.04
    assert np.abs(entries * step - updates[VICTIM]).max() <= step / 2 + 1e-12


def test_a_clip_for_each_entry_bisects_one_clients_magnitudes():
    """Twelve rounds, each under a context of its own: an entry is left where it reaches 100.5/101 of its clip."""
    updates = drawn(200, range(VICTIM + 1))
    stores = {i: Store() for i in updates}
    low, high = np.zeros(200), np.full(200, 2.0)
    for attempt in range(12):
        clip = (low + high) / 2
        session = session_of(
            updates, b"model 7, attempt %d" % attempt, "nearest", bits=2, clip=clip.copy(), weight_max=201
        )
        left = summed(session, updates, BARELY, TWIN, stores) != 0
        low, high = np.where(left, clip, low), np.where(left, high, clip)
    magnitudes = (low + high) / 2 * 100.5 / 101
    assert np.abs(magnitudes - np.abs(updates[VICTIM])).max() <= 2.0 / 2**13 + 1e-12


@pytest.mark.parametrize("encoding", [SIGNS, VECTOR], ids=["signs", "vector"])
def test_weights_with_nearest_rounding_are_no_session(encoding):
    session = session_of(drawn(20), rounding="nearest", **encoding)
    with pytest.raises(OutOfRange, match="rounding is 'nearest': expected 'stochastic' where there are weights"):
        Session.from_bytes(session.to_bytes())


@pytest.mark.parametrize(
    ("encoding", "why"),
    [
        (SIGNS, r"clip of update is 1e-280: .* \(Policy.clip\)"),
        (SIGNS | {"clip": 1.0}, r"weights 1..201: .* a ratio of 100 \(Policy.weight_ratio\)"),
        (SIGNS | {"clip": 1.0, "weight_min": 100}, r"leave the lightest party 0 levels: .* 16 \(Policy.levels\)"),
        (VECTOR, r"weights 1..4884: .* a ratio of 100"),
        (VECTOR | {"weight_min": 49}, r"leave the lightest party 1 levels: .* 16 \(Policy.levels\)"),
    ],
)
def test_a_client_takes_no_format_that_leaves_nothing_of_the_light(encoding, why):
    updates = drawn(20)
    weights = dict.fromkeys(CLIENTS, encoding["weight_max"])
    with pytest.raises(PolicyRefused, match=why):
        summed(session_of(updates, **encoding), updates, weights, OURS)


def test_stochastic_rounding_alone_ends_the_filter():
    """Light clients then send their share of steps, and the sum of nine of them drowns the signs."""
    updates = drawn(2000)
    entries = summed(session_of(updates, **SIGNS | {"clip": 1.0}), updates, BARELY, TWIN)
    agree = np.sign(entries) == np.sign(updates[VICTIM])
    assert agree.mean() < 0.6
