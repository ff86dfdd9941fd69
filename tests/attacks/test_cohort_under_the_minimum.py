"""A server asks to open the sum of the victim and of a colluder, and takes the colluder's vector off (issue 5; minimum
cohorts: Kairouz et al., "Advances and Open Problems in Federated Learning", 4.2).
"""

import numpy as np
import pytest
from attacker import UPDATES, LyingServer, assert_is_update_of, bits, make_round, make_session, play
from twins import NoMinimum

from secagg.errors import PeerMisbehaved, PolicyRefused
from secagg.scheme import Policy
from secagg.testing import TestRound
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import AskConsistency, AskUnmask

VICTIM, COLLUDER, LEFT_OUT = 0, 1, 2
SCHEME = PairwiseMasking(threshold=2)
DEALERS = {i: [0, 1, 2] for i in range(3)}


def sum_of_two(policy):
    """The server says that the third was lost, although its vector came."""
    round_ = play(TestRound(SCHEME, make_session(3), UPDATES, policy=policy), "unmask")
    server = LyingServer.of(round_)
    for i in (VICTIM, COLLUDER):
        server.ask(i, "unmask", AskUnmask(bits([VICTIM, COLLUDER], 3), b"", b""))
    holders = VICTIM, COLLUDER
    seeds = {i: server.seed(i, server.shares_of(i, holders, DEALERS)) for i in holders}
    key = server.mask_key(LEFT_OUT, server.shares_of(LEFT_OUT, holders, DEALERS))
    known = server.pairs(LEFT_OUT, key, server.mask_publics(LEFT_OUT))
    bare = [server.bare(i, seeds[i], {LEFT_OUT: known[i]}) for i in holders]
    return server.session.ring.reduce(bare[0] + bare[1])


def test_parties_without_a_minimum_open_a_sum_of_two():
    vector = sum_of_two(NoMinimum())
    vector[:-2] -= UPDATES[COLLUDER]
    assert_is_update_of(VICTIM, vector)


def test_the_default_policy_refuses_a_sum_of_two():
    with pytest.raises(PolicyRefused, match="sum over 2 parties: this party's policy asks for at least 3") as error:
        sum_of_two(Policy())
    assert not error.value.culprits


def test_a_session_under_the_minimum_is_refused_before_its_first_message():
    with pytest.raises(PolicyRefused, match="sum over 2 parties"):
        TestRound(PairwiseMasking(), make_session(2), UPDATES)


def test_parties_that_never_advertised_do_not_count():
    """Twelve are named, ten of them came: a policy of eleven is not met by counting the two."""
    scheme = PairwiseMasking(neighbours=4, threshold=3, adversary="active", corrupt=0)
    round_ = make_round(scheme, 12, policy=Policy(min_cohort=10), lost={0: "keys", 1: "keys"})
    server = LyingServer.of(play(round_, "consistency"))
    for i in range(2, 12):
        with pytest.raises(PeerMisbehaved, match="whose shares it never relayed") as error:
            server.ask(i, "consistency", AskConsistency(bits(range(12), 12)))
        assert not error.value.culprits
    assert not any(phase == "consistency" for phase, _ in server.sent)


def test_the_sum_over_the_minimum_is_given():
    out = make_round(PairwiseMasking(threshold=4), policy=Policy(min_cohort=6)).run()
    np.testing.assert_array_equal(out.ring_sum, sum(UPDATES[i].astype(np.uint64) for i in range(6)))
