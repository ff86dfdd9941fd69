"""A server declares a slow client lost, has its mask key recovered, and then receives its vector (Bonawitz et al. 2017,
4.2, the reason for the second mask).
"""

import numpy as np
import pytest
from attacker import OTHERS, UPDATES, VICTIM, LyingServer, N, assert_is_update_of, bits, make_round, on, play
from twins import NoSelfMask

from secagg.errors import PeerMisbehaved
from secagg.primitives import prg
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise import derive
from secagg_protocols.pairwise.messages import AskUnmask

DEALERS = {i: list(range(N)) for i in range(N)}


def late(scheme):
    """The victim's vector is held back; its pairwise masks are off, whatever else is on it."""
    round_ = play(make_round(scheme, replies=on("masked", [VICTIM], lambda _: None)), "unmask")
    round_.exchange()
    server = LyingServer.of(round_)
    key = server.mask_key(VICTIM, server.shares_of(VICTIM, OTHERS, DEALERS))
    assert key is not None
    return round_, server, server.bare(VICTIM, None, server.pairs(VICTIM, key, server.mask_publics(VICTIM)))


def test_a_single_mask_leaves_it_bare():
    _, _, vector = late(NoSelfMask())
    assert_is_update_of(VICTIM, vector)


def test_the_self_mask_stays_on():
    seeds = []

    def drawn(n):
        seeds.append(np.random.default_rng(len(seeds)).bytes(n))
        return seeds[-1]

    scheme = PairwiseMasking()
    round_ = play(make_round(scheme, replies=on("masked", [VICTIM], lambda _: None), entropy=drawn), "unmask")
    round_.exchange()
    server = LyingServer.of(round_)
    key = server.mask_key(VICTIM, server.shares_of(VICTIM, OTHERS, DEALERS))
    vector = server.bare(VICTIM, None, server.pairs(VICTIM, key, server.mask_publics(VICTIM)))
    streams = [
        prg.keystream(derive.self_mask_seed(server.bound, seed), vector.size, vector.dtype)
        for seed in seeds
        if len(seed) == 32
    ]
    left = [round_.session.ring.reduce(vector - stream)[:-2] for stream in streams]
    assert sum(np.array_equal(found, UPDATES[VICTIM]) for found in left) == 1  # under its own seed, and no other
    assert not np.array_equal(vector[:-2], UPDATES[VICTIM])


def test_nobody_opens_the_self_mask_after_the_key():
    _, server, _ = late(PairwiseMasking())
    for i in OTHERS:
        with pytest.raises(PeerMisbehaved, match="second, different ask") as error:
            server.ask(i, "unmask", AskUnmask(bits(range(N)), b"", b""))
        assert not error.value.culprits


def test_the_late_vector_changes_nothing():
    round_, server, _ = late(PairwiseMasking())
    round_.coordinator.receive(VICTIM, server.sent["masked", VICTIM])
    round_.coordinator.close_phase()
    out = round_.coordinator.result
    assert out.contributors == set(OTHERS)
    assert not out.misbehaved
    np.testing.assert_array_equal(out.ring_sum, sum(UPDATES[i].astype(np.uint64) for i in OTHERS))
