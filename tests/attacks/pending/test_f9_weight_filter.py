"""A server names `bits`, `clip` and `weight_max` so that all clients but the heaviest send zeros: where the share of a
client's weight moves no entry by half a step, nearest rounding makes nothing of its update. The sum is in order and
over all ten; what it holds is one client's. No `Policy` bounds these numbers. Active mode, honest clients, each with
its own context and ledger.

Closed when: a client's own policy refuses such a session before it sends a vector, so that no such sum opens.
"""

import numpy as np

from secagg import Coordinator, Credentials, Participant, Policy, Seat, Session, Store
from secagg.testing import SeededEntropy
from secagg_protocols import PairwiseMasking

SCHEME = PairwiseMasking(adversary="active")
CLIENTS = range(10)
VICTIM = 4
CREDENTIALS = Credentials.generate(CLIENTS, SeededEntropy("f9"))
BARELY = {i: 100 + (i == VICTIM) for i in CLIENTS}
"""The victim has one example more than the others."""


def drawn(entries):
    draw = np.random.default_rng(3)
    return {i: draw.normal(0, 0.3, entries).clip(-1, 1) for i in CLIENTS}


def summed(weights, updates, stores, context=b"model 7", clients=CLIENTS, **encoding):
    """What the server reads: the sum's entries, in steps and without their offset."""
    session = Session.create(clients, updates[VICTIM], context=context, **encoding)
    server = Coordinator(SCHEME, session, CREDENTIALS[VICTIM].roster)
    limits = Policy(min_cohort=5)
    seats = {i: Seat(i, limits, context, credentials=CREDENTIALS[i], store=stores[i]) for i in clients}
    ends = {i: Participant(SCHEME, session, seat) for i, seat in seats.items()}
    while not server.done:
        for i, ask in server.asks().items():
            server.receive(i, ends[i].answer(ask, updates[i], weights[i]))
        server.close_phase()
    assert server.result.contributors == set(clients)
    offset = 2 ** (session.encoding.bits - 1)
    return server.result.ring_sum.astype(np.int64) - len(clients) * offset


def ledgers():
    return {i: Store() for i in CLIENTS}


def test_one_example_more_and_the_sum_is_the_signs_of_one_update():
    """At two bits a step is the clip: 101 of 201 is more than half of it, and 100 of 201 is less."""
    updates = drawn(2000)
    signs = summed(BARELY, updates, ledgers(), bits=2, clip=1e-280, weight_max=201)
    np.testing.assert_array_equal(signs, np.sign(updates[VICTIM]))


def test_fifty_times_the_weight_and_the_sum_is_one_quantized_update():
    weights, heaviest = {i: 1000 if i == VICTIM else 10 + i for i in CLIENTS}, 1000
    updates, levels = drawn(2000), 127
    weight_max = levels * heaviest // 26
    entries = summed(weights, updates, ledgers(), bits=8, clip=1.0, weight_max=weight_max)
    np.testing.assert_array_equal(entries, np.rint(updates[VICTIM] * heaviest / weight_max * levels))
    step = weight_max / heaviest / levels
    assert step < 0.04
    assert np.abs(entries * step - updates[VICTIM]).max() <= step / 2 + 1e-12


def test_a_clip_for_each_entry_bisects_one_clients_magnitudes():
    """Twelve rounds, each under a context of its own: an entry is left where it reaches 100.5/101 of its clip."""
    few, stores = [i for i in CLIENTS if i <= VICTIM], ledgers()
    updates = {i: update for i, update in drawn(200).items() if i in few}
    low, high = np.zeros(200), np.full(200, 2.0)
    for attempt in range(12):
        clip = (low + high) / 2
        context = b"model 7, attempt %d" % attempt
        left = summed(BARELY, updates, stores, context, few, bits=2, clip=clip.copy(), weight_max=201) != 0
        low, high = np.where(left, clip, low), np.where(left, high, clip)
    magnitudes = (low + high) / 2 * 100.5 / 101
    assert np.abs(magnitudes - np.abs(updates[VICTIM])).max() <= 2.0 / 2**13 + 1e-12
