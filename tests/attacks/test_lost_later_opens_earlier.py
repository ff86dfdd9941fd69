"""A client that keeps its mask key over rounds contributes to one and is lost in the next: the key that is recovered
there takes its pairwise masks off the vector it sent before (issue 5; design, law 4).
"""

import pytest
from attacker import OTHERS, VICTIM, LyingServer, N, assert_is_update_of, is_update_of, make_round
from twins import ReusesKeys

from secagg.primitives import agreement
from secagg_protocols import PairwiseMasking

DEALERS = {i: list(range(N)) for i in range(N)}


def two_rounds(scheme):
    """The server of a round with the victim and of a round that lost it, and the victim's key of the latter."""
    before = make_round(scheme)
    before.run()
    after = make_round(scheme, lost={VICTIM: "masked"})
    after.run()
    first, second = LyingServer.of(before), LyingServer.of(after)
    return first, second.mask_key(VICTIM, second.shares_of(VICTIM, OTHERS, DEALERS))


def earlier_vector(server, key):
    """The victim's vector of the first round, less its self-mask, which was opened then, and less the key's masks."""
    seed = server.seed(VICTIM, server.shares_of(VICTIM, range(N), DEALERS))
    assert seed is not None
    return server.bare(VICTIM, seed, server.pairs(VICTIM, key, server.mask_publics(VICTIM)))


@pytest.fixture
def _fresh_keyring(monkeypatch):
    monkeypatch.setattr(ReusesKeys.client, "lasting", {})


@pytest.mark.usefixtures("_fresh_keyring")
def test_a_key_that_lasts_opens_the_earlier_round():
    assert_is_update_of(VICTIM, earlier_vector(*two_rounds(ReusesKeys())))


def test_a_key_of_one_round_opens_no_other():
    server, key = two_rounds(PairwiseMasking())
    assert agreement.public_key(key) != server.keys(VICTIM).mask
    assert not is_update_of(VICTIM, earlier_vector(server, key))


def test_no_key_is_ever_advertised_twice():
    keys = []
    for _ in range(3):
        round_ = make_round(PairwiseMasking())
        round_.exchange()
        advertised = LyingServer.of(round_).advertised().values()
        keys += [half for both in advertised for half in (both[:32], both[32:])]
    assert len(set(keys)) == len(keys) == 3 * N * 2
