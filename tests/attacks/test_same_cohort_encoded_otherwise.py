"""A server asks the same clients for the sum of the same updates again, with another encoding. Each session is in order
and each sum is over all of them; only several together tell more than a sum. With weights and without are two
equations, and sums at a ladder of clips show where each client's entries lie (differencing; Dinur and Nissim, PODS
2003).
"""

import numpy as np
import pytest
from paillier_twins import KEYS, keys_are_small  # noqa: F401

from secagg.api import Participant
from secagg.errors import PolicyRefused, TooFew
from secagg.scheme import Ledger, Seat, Session, Store
from secagg.testing import TestRound
from secagg_protocols import CkksSum, PaillierSum, PairwiseMasking

PASSIVE, ACTIVE = PairwiseMasking(), PairwiseMasking(adversary="active")
CONTEXT = b"model 7, round 3"
DIM = 6
STEP = 0.05
DRAW = np.random.default_rng(7)
SIZES = np.array([DRAW.permutation(np.arange(1, 18))[:5] for _ in range(DIM)]).T
UPDATES = {i: SIZES[i] * DRAW.choice([-STEP, STEP], DIM) for i in range(5)}
WEIGHTS = {0: 3, 1: 10, 2: 17, 3: 29, 4: 41}


class ComparesCohorts(Ledger):
    """Allows any number of sums over one cohort."""

    def check(self, context, encoding, contributors):
        super().check(context, bytes(32), contributors)

    def add(self, context, encoding, contributors):
        super().add(context, bytes(32), contributors)


def asked(parties, ledgers, scheme=ACTIVE, **encoding):
    """The sum as the server has it; weights only where the session has them."""
    options = {"bits": 32, "clip": 1.0} | encoding
    session = Session.create(range(parties), UPDATES[0], context=CONTEXT, **options)
    weights = WEIGHTS if "weight_max" in encoding else None
    round_ = TestRound(scheme, session, {i: UPDATES[i] for i in range(parties)}, weights=weights)
    for i in range(parties):
        round_.participants[i] = Participant(
            scheme, session, Seat(i, context=CONTEXT, credentials=round_.credentials.get(i), store=Store(ledgers[i]))
        )
    out = round_.run()
    assert out.contributors == set(range(parties))
    return np.asarray(out.mean) * (parties if weights is None else out.weight)


def with_and_without_weights(ledger):
    """What the server and client 2 make of two sums over three, if they know the weights (`num-examples`, say)."""
    ledgers = {i: ledger() for i in range(3)}
    plain = asked(3, ledgers) - UPDATES[2]
    weighted = asked(3, ledgers, weight_max=64) - WEIGHTS[2] * UPDATES[2]
    return (weighted - WEIGHTS[1] * plain) / (WEIGHTS[0] - WEIGHTS[1])


def test_ledgers_that_compare_cohorts_give_a_vector_to_one_colluder():
    np.testing.assert_allclose(with_and_without_weights(ComparesCohorts), UPDATES[0], atol=1e-6)


def test_the_second_encoding_is_refused():
    with pytest.raises(TooFew) as error:
        with_and_without_weights(Ledger)
    assert (error.value.phase, error.value.answered) == ("consistency", 0)


def ladder_of_clips(ledger):
    """{weight: its client's vector}: where a clip passes an entry, the sum stops growing by the client's weight."""
    ledgers = {i: ledger() for i in range(5)}
    clips = (np.arange(20) + 0.5) * STEP
    sums = np.array([asked(5, ledgers, PASSIVE, bits=24, clip=float(clip), weight_max=64) for clip in clips])
    slopes = np.diff(sums, axis=0) / STEP  # an entry in the middle of an interval counts half there
    vectors = {}
    for entry in range(DIM):
        above = 0
        for at in reversed(range(len(slopes))):
            here = round(2 * (slopes[at, entry] - above))
            above += here
            if here:
                vectors.setdefault(abs(here), {})[entry] = np.sign(here) * (at + 1) * STEP
    return vectors


def test_ledgers_that_compare_cohorts_give_whole_vectors_to_nobody_s_help():
    found = ladder_of_clips(ComparesCohorts)
    for i, weight in WEIGHTS.items():
        np.testing.assert_allclose([found[weight][entry] for entry in range(DIM)], UPDATES[i], atol=1e-9)


def test_a_ladder_has_one_rung():
    with pytest.raises(TooFew):
        ladder_of_clips(Ledger)


OTHERWISE = [{"clip": 0.5}, {"bits": 31}, {"weight_max": 64}, {"rounding": "stochastic"}]


@pytest.mark.parametrize("encoding", OTHERWISE, ids=str)
def test_whatever_decides_the_vectors_is_compared(encoding):
    session, other = (Session.create(range(3), UPDATES[0], **{"bits": 32, **each}) for each in ({}, encoding))
    assert session.encoding.digest != other.encoding.digest
    reshaped = Session.create(range(3), UPDATES[0].reshape(2, 3), bits=32)
    assert session.encoding.digest != reshaped.encoding.digest


def test_what_does_not_decide_them_is_not_compared():
    """A retry among others, in another round or under another name of it is told apart by other rules."""
    session = Session.create(range(3), UPDATES[0], context=b"a")
    other = Session.create(range(5), UPDATES[0], context=b"b", run=bytes(16), round=7)
    assert session.encoding.digest == other.encoding.digest


@pytest.mark.parametrize("family", ["paillier", "ckks"])
def test_holders_of_a_key_open_one_encoding_too(family):
    schemes = {"paillier": lambda: PaillierSum(keys=KEYS), "ckks": lambda: CkksSum(holders=3)}
    scheme, ledgers = schemes[family](), {i: Ledger() for i in range(3)}
    first = asked(3, ledgers, scheme, bits=16)
    np.testing.assert_array_equal(asked(3, ledgers, scheme, bits=16), first)
    with pytest.raises(TooFew) as error:
        asked(3, ledgers, scheme, bits=16, clip=0.5)
    assert error.value.phase == "decrypt"
    for ledger in ledgers.values():
        with pytest.raises(PolicyRefused, match="another structure, bits, clip"):
            ledger.check(CONTEXT, bytes(32), frozenset(range(3)))
