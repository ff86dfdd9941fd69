"""Two servers of one round: what each heard counts once, and what cannot be right is refused."""

import numpy as np
import pytest

from secagg import Coordinator, Session
from secagg.errors import LocalMisuse, PeerMisbehaved, TooFew
from secagg.testing import TestRound, opened, rewritten
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import HASH_SIZE, Keys, Shares
from secagg_protocols.pairwise.server import Advertising, Roll

PARTIES = ["a", 1, "c", 3, "e"]
LEFT, RIGHT = PARTIES[:2], PARTIES[2:]
UPDATES = {party: np.arange(5, dtype=np.uint16) + 1000 * i for i, party in enumerate(PARTIES)}
SCHEME = PairwiseMasking(threshold=3)


def held(phase, replies=lambda at, party, message: message):
    """(a round whose `phase` is open and whose replies have not arrived, those replies)."""
    session = Session.create(PARTIES, UPDATES["a"])
    arrive = lambda at, party, message: None if at == phase else replies(at, party, message)  # noqa: E731
    round_ = TestRound(SCHEME, session, UPDATES, replies=arrive)
    while round_.coordinator.phase != phase:
        round_.step()
    round_.exchange()
    return round_, {party: round_.sent[phase, party] for party in PARTIES if (phase, party) in round_.sent}


def twins(coordinator):
    """Two of the same state, whose phase is open."""
    coordinator.asks()
    return [Coordinator.of_state(coordinator.scheme, coordinator.state()) for _ in range(2)]


def finish(round_, coordinator):
    round_.coordinator = coordinator
    coordinator.close_phase()
    return round_.run()


def hear(coordinator, replies, parties):
    for party in parties:
        coordinator.receive(party, replies[party])


def test_what_a_bad_reply_cost_its_sender_at_either_server_is_lost_in_the_whole():
    round_, replies = held("masked")
    one, other = twins(round_.coordinator)
    hear(one, replies, LEFT)
    hear(other, replies, RIGHT[:-1])
    other.receive("e", b"garbage")
    one.merge(other)
    assert one.waiting == frozenset()
    assert "phase 'masked'" in one.misbehaved["e"]
    one.receive("e", replies["e"])  # its place is gone, wherever it tries again
    out = finish(round_, one)
    assert out.contributors == {"a", 1, "c", 3}
    assert out.lost == {"e": "masked"}
    assert set(out.misbehaved) == {"e"}


def test_a_party_that_one_server_refused_and_the_other_heard_is_in_neither_count():
    for first, second in ((b"garbage", None), (None, b"garbage")):
        round_, replies = held("masked")
        one, other = twins(round_.coordinator)
        one.receive("a", first or replies["a"])
        other.receive("a", second or replies["a"])
        before = one.state()
        with pytest.raises(LocalMisuse, match="both heard from 'a'"):
            one.merge(other)
        assert Coordinator.of_state(SCHEME, before).waiting == one.waiting


def test_traffic_of_both_is_counted():
    round_, replies = held("masked")
    one, other = twins(round_.coordinator)
    hear(one, replies, LEFT)
    hear(other, replies, RIGHT)
    one.merge(other)
    assert one._round.tallies[2].received == {i: len(replies[party]) for i, party in enumerate(PARTIES)}


def test_another_phase_another_scheme_or_none_that_is_open():
    round_, replies = held("masked")
    one, other = twins(round_.coordinator)
    hear(other, replies, PARTIES)
    other.close_phase()
    with pytest.raises(LocalMisuse, match="another phase"):
        one.merge(other)
    of_two_schemes = [Coordinator(scheme, round_.session) for scheme in (SCHEME, PairwiseMasking(threshold=4))]
    with pytest.raises(LocalMisuse, match="another round"):
        of_two_schemes[0].merge(of_two_schemes[1])
    round_.coordinator = other
    assert round_.run().contributors == set(PARTIES)
    with pytest.raises(LocalMisuse, match="not opened"):
        other.merge(Coordinator.of_state(SCHEME, other.state()))


def test_two_that_asked_otherwise_are_not_of_one_state():
    """The same session and phase, and other keys."""
    round_, _ = held("shares")
    other = TestRound(SCHEME, round_.session, UPDATES)
    other.step()
    other.coordinator.asks()
    with pytest.raises(LocalMisuse, match="not opened before its state was shared"):
        round_.coordinator.merge(other.coordinator)


def test_one_key_at_two_servers_is_refused_and_changes_nothing():
    round_, replies = held("keys")
    one, other = twins(round_.coordinator)
    mask = opened(replies["a"], Keys).mask
    hear(one, replies, LEFT)
    hear(other, {**replies, "e": rewritten(replies["e"], Keys, mask=mask)}, RIGHT)
    with pytest.raises(PeerMisbehaved, match="advertised before, at another server") as caught:
        one.merge(other)
    assert caught.value.culprits == {"a", "e"}  # which of the two copied, nobody can tell; the others did not
    assert one.waiting == {"c", 3, "e"}
    hear(one, replies, RIGHT)
    assert finish(round_, one).contributors == set(PARTIES)


def test_a_round_that_has_ended_is_no_half_of_another():
    round_, replies = held("keys")
    one, other = twins(round_.coordinator)
    hear(one, replies, PARTIES)
    with pytest.raises(TooFew):
        other.close_phase()
    for mine, theirs in ((one, other), (other, one)):
        with pytest.raises(LocalMisuse, match="has ended"):
            mine.merge(theirs)


def test_after_a_merge_a_key_of_the_other_s_is_known():
    round_, replies = held("keys")
    one, other = twins(round_.coordinator)
    hear(one, replies, ["a"])
    hear(other, replies, [1, "c", 3])
    one.merge(other)
    one.receive("e", rewritten(replies["e"], Keys, mask=opened(replies["c"], Keys).mask))
    assert "advertised before" in one.misbehaved["e"]


def test_what_holders_miss_is_told_by_both():
    """One dealer publishes other hashes for two holders, which answer two servers."""

    def other_hashes(phase, party, reply):
        if (phase, party) != ("shares", "a"):
            return reply
        hashes = bytearray(opened(reply, Shares).hashes)
        for holder in (1, 4):
            hashes[2 * HASH_SIZE * holder : 2 * HASH_SIZE * (holder + 1)] = bytes(2 * HASH_SIZE)
        return rewritten(reply, Shares, hashes=bytes(hashes))

    round_, replies = held("unmask", replies=other_hashes)
    one, other = twins(round_.coordinator)
    hear(one, replies, LEFT)
    hear(other, replies, RIGHT)
    one.merge(other)
    out = finish(round_, one)
    assert out.contributors == set(PARTIES)
    assert out.accused == {"a": "phase 'unmask': no sound share of its secrets, say the holders [1, 'e']"}


def test_the_rolls_of_what_was_prepared_add_up():
    """Of each it stays known that its signature is over a slot, and which keys were seen."""
    one, other = Advertising(Roll({0: bytes(64)}, {0})), Advertising(Roll({1: b"\1" * 32 + b"\2" * 32}, {1}))
    one.roll.keys[0] = b"\3" * 32 + b"\4" * 32
    one.merge(None, other)
    assert (set(one.roll.keys), one.roll.prepared) == ({0, 1}, {0, 1})
    assert len(one.roll.halves(None)) == 4
