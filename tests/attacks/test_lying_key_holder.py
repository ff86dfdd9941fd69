"""Key holders of a CKKS sum that make up what they opened (issue 5).

Only they can open it, so nobody can check one that is alone: as many liars as `quorum` choose the sum. By default
that is two, so that one cannot where more than one was asked, though all the others be lost. The price is availability.
"""

import numpy as np
import pytest
from attacker import UPDATES, N, make_session

from secagg.encoding.packing import pack, unpack
from secagg.errors import PeerMisbehaved, TooFew
from secagg.testing import TestRound, opened, rewritten
from secagg_protocols import CkksSum
from secagg_protocols.ckks.messages import Decrypted

SUM = sum(UPDATES[i].astype(np.uint64) for i in range(N))
FIRST = 0
"""Whom a session of this id asks first; holders are the first few from it on."""


def round_of(scheme, liars, lost=()):
    """Holders that lie about the first three entries, all in the same way, and others that are lost at "decrypt"."""
    session = make_session(entropy=bytes)

    def lie(phase, party, message):
        if phase != "decrypt" or party not in liars:
            return message
        vector = unpack(opened(message, Decrypted).vector, session.dim, session.ring).copy()
        vector[:3] = 7
        return rewritten(message, Decrypted, vector=pack(vector, session.ring))

    return TestRound(scheme, session, UPDATES, replies=lie, lost=dict.fromkeys(lost, "decrypt"))


def assert_the_liars_chose_it(out):
    assert out.contributors == set(range(N))
    assert out.ring_sum[:3].tolist() == [7, 7, 7]
    np.testing.assert_array_equal(out.ring_sum[3:], SUM[3:])
    assert not out.misbehaved
    assert not out.accused


@pytest.mark.parametrize("lost", [{1, 2}, {2}, set()])
def test_one_holder_alone_chooses_no_sum(lost):
    """Whoever else is lost: there is a second one that opened the same, or no sum."""
    round_ = round_of(CkksSum(3), {FIRST}, lost)
    with pytest.raises((TooFew, PeerMisbehaved)):
        round_.run()
    assert round_.coordinator.result is None


def test_what_the_last_holder_says_is_too_few():
    with pytest.raises(TooFew, match="'decrypt': 1 key holders answered, 2 needed; no sum was opened"):
        round_of(CkksSum(3), {FIRST}, {1, 2}).run()


def test_where_one_is_enough_the_last_holder_chooses_the_sum():
    assert_the_liars_chose_it(round_of(CkksSum(3, quorum=1), {FIRST}, {1, 2}).run())


def test_where_one_is_asked_it_chooses_the_sum():
    assert_the_liars_chose_it(round_of(CkksSum(1), {FIRST}).run())


def test_two_that_collude_choose_the_sum_where_the_third_is_lost():
    """By default; not where all three must agree."""
    assert_the_liars_chose_it(round_of(CkksSum(3), {0, 1}, {2}).run())
    with pytest.raises(TooFew, match="2 key holders answered, 3 needed"):
        round_of(CkksSum(3, quorum=3), {0, 1}, {2}).run()


def test_two_that_collude_have_the_honest_third_named():
    """No sum comes of it; but the minority is whom the error names, and nobody can tell that it is the honest one."""
    round_ = round_of(CkksSum(3), {0, 1})
    with pytest.raises(PeerMisbehaved, match="3 key holders opened 2 different sums") as error:
        round_.run()
    assert error.value.culprits == {2}
    assert round_.coordinator.result is None
