"""A server fills the cohort with clients of its own, so that the sum less their vectors is the victim's (Douceur, "The
Sybil Attack", IPTPS 2002; for federated learning Boenisch et al., EuroS&P 2023).

A roster keeps strangers out. Members of the roster that collude are what the threshold allows for, and no more: if all
but one collude, the sum is the one's vector. The threat model says so; the last test shows it.
"""

import os

import numpy as np
import pytest
from attacker import OTHERS, UPDATES, VICTIM, LyingServer, N, machine, make_round, make_session, play, statement_of

from secagg.api import Participant
from secagg.errors import BadCohort, PeerMisbehaved
from secagg.primitives import agreement, signing
from secagg.scheme import Credentials, Seat
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import SHARE_SIZE, AskKeys, AskShares, pack_indices, unpack_indices


def less_the_sybils(scheme):
    out = make_round(scheme).run()
    return out.ring_sum.astype(np.int64) - sum(UPDATES[i].astype(np.int64) for i in OTHERS)


def test_without_a_roster_one_person_can_be_everybody_else():
    np.testing.assert_array_equal(less_the_sybils(PairwiseMasking()), UPDATES[VICTIM])


def test_a_session_with_strangers_is_refused_before_its_first_message():
    known = Credentials.generate([VICTIM, *OTHERS[:-1]], os.urandom)
    with pytest.raises(BadCohort, match=f"party {OTHERS[-1]!r} is not on the roster"):
        Participant(PairwiseMasking(adversary="active"), make_session(), Seat(VICTIM, credentials=known[VICTIM]))


def test_a_stranger_in_a_members_name_is_refused():
    """The session names members only; the keys of all but the victim are signed by identities made up by the server."""
    scheme, session = PairwiseMasking(adversary="active"), make_session()
    known = Credentials.generate(range(N), os.urandom)
    invented = {i: known[VICTIM].identity if i == VICTIM else os.urandom(32) for i in range(N)}
    victim = Participant(scheme, session, Seat(VICTIM, credentials=known[VICTIM]))
    server = LyingServer(scheme, session, {VICTIM: victim}, known[VICTIM].roster)
    server.ask(VICTIM, "keys", AskKeys())
    own = server.keys(VICTIM)
    keys = [agreement.public_key(bytes([i] * 32)) + agreement.public_key(bytes([64 + i] * 32)) for i in range(N)]
    keys[VICTIM] = own.sealing + own.mask
    signed = [signing.sign(invented[i], statement_of(session, i, key)) for i, key in enumerate(keys)]
    with pytest.raises(PeerMisbehaved, match="party 0: signature does not verify"):
        server.ask(VICTIM, "shares", AskShares(pack_indices(range(N)), b"".join(keys), b"".join(signed)))


def held_by(colluders, round_, dealer):
    """Both shares of the dealer's secrets, as the colluders hold them after "masked"."""
    seeds, keys = {}, {}
    for i in colluders:
        stage = machine(round_.participants[i]).stage
        place = unpack_indices(stage.dealers, N).index(dealer)
        pair = stage.shares[2 * SHARE_SIZE * place :][: 2 * SHARE_SIZE]
        seeds[i], keys[i] = pair[:SHARE_SIZE], pair[SHARE_SIZE:]
    return seeds, keys


@pytest.mark.parametrize("colluding", range(1, N))
def test_members_that_collude_open_nothing_under_the_threshold(colluding):
    round_ = play(make_round(PairwiseMasking(adversary="active")), "consistency")
    server = LyingServer.of(round_)
    seeds, keys = held_by(OTHERS[:colluding], round_, VICTIM)
    opened = server.seed(VICTIM, seeds) is not None, server.mask_key(VICTIM, keys) is not None
    assert opened == (colluding >= server.parameters.threshold,) * 2


def test_all_members_but_one_learn_the_ones_vector():
    """Documented, not prevented: a sum over known vectors and one unknown is the unknown."""
    np.testing.assert_array_equal(less_the_sybils(PairwiseMasking(adversary="active")), UPDATES[VICTIM])
