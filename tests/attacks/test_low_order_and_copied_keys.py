"""Public keys that are not what they look like: points of low order, with which every shared secret is zero
(RFC 7748, 6.1), and copies of another client's key, whose masks cancel the original's on the victim (unknown
key-share: Blake-Wilson and Menezes, PKC 1999).

A copy may differ in bytes: X25519 ignores the top bit, so every key has a second spelling that looks like another one.
"""

import json
from pathlib import Path

import pytest
from attacker import (
    UPDATES,
    LyingServer,
    assert_is_update_of,
    interpolated,
    is_update_of,
    make_round,
    make_session,
    play,
)
from twins import TakesLowOrderKeys, unbound

from secagg.api import Participant
from secagg.errors import PeerMisbehaved
from secagg.primitives import agreement, sealing
from secagg.testing import opened, rewritten
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise import derive, messages

VECTORS = Path(__file__).parents[1] / "vectors" / "x25519_low_order.json"
LOW = [bytes.fromhex(u) for u in json.loads(VECTORS.read_text())["points"]]


def respelled(key):
    """The same key in other bytes."""
    return key[:31] + bytes([key[31] ^ 0x80])


class TestLowOrder:
    """Three clients, and the server puts four different points of low order in place of two of them."""

    victim = 0
    others = (1, 2)
    scheme = {"threshold": 2}

    def round(self, scheme):
        session = make_session(3)
        server = LyingServer(scheme, session, {self.victim: Participant(scheme, session, self.victim)})
        server.ask(self.victim, "keys", messages.AskKeys())
        server.ask(
            self.victim, "shares", messages.AskShares(messages.pack_indices(self.others), b"".join(LOW[:4]), b"")
        )
        nothing = messages.AskMasked(
            derive.context_digest(session.context),
            messages.pack_indices(self.others),
            bytes(2 * messages.SEALED_SIZE),
            bytes(4 * messages.HASH_SIZE),
        )
        server.ask(self.victim, "masked", nothing, UPDATES[self.victim])
        return server

    def zero_key(self, server, purpose, own, j, public):
        """What anybody can compute."""
        return agreement.hkdf(bytes(32), info=derive.pair_info(purpose, self.victim, own, j, public), salt=server.bound)

    def test_a_shared_secret_of_zero_is_everybodys(self):
        server = self.round(TakesLowOrderKeys(**self.scheme))
        own, dealt = server.keys(self.victim), opened(server.sent["shares", self.victim], messages.Shares).sealed
        seeds, pairs = {}, {}
        for row, j in enumerate(self.others):
            shared = self.zero_key(server, derive.SEALING, own.sealing, j, LOW[2 * row])
            key, data = derive.sealing_key(shared, 0, j), derive.sealing_data(server.bound, 0, j)
            box = dealt[messages.SEALED_SIZE * row :][: messages.SEALED_SIZE]
            seeds[j] = sealing.open_sealed(key, box, data)[: messages.SHARE_SIZE]
            pairs[j] = derive.mask_seed(self.zero_key(server, derive.MASK, own.mask, j, LOW[2 * row + 1]))
        assert_is_update_of(self.victim, server.bare(self.victim, interpolated(seeds), pairs))

    def test_it_is_refused_before_anything_is_dealt(self):
        with pytest.raises(PeerMisbehaved, match="low order"):
            self.round(PairwiseMasking(**self.scheme))

    @pytest.mark.parametrize("adversary", ["passive", "active"])
    @pytest.mark.parametrize("key", LOW, ids=bytes.hex)
    def test_whoever_advertises_one_is_named(self, adversary, key):
        liar = 2

        def lie(phase, party, message):
            return rewritten(message, messages.Keys, mask=key) if (phase, party) == ("keys", liar) else message

        round_ = make_round(PairwiseMasking(adversary=adversary), replies=lie)
        round_.exchange()
        assert set(round_.coordinator.misbehaved) == {liar}
        assert "low order" in round_.coordinator.misbehaved[liar]


class TestCopies:
    """Five clients: 3 and 4 advertise the keys of 0 and 1, so that 2 subtracts two masks and adds the same two."""

    victim = 2
    originals = {3: 0, 4: 1}

    def round(self, spell):
        seen = {}

        def copy(phase, party, message):
            if phase != "keys":
                return message
            seen[party] = keys = opened(message, messages.Keys)
            if party in self.originals:
                keys = seen[self.originals[party]]
                message = rewritten(message, messages.Keys, sealing=spell(keys.sealing), mask=spell(keys.mask))
            return message

        return make_round(PairwiseMasking(threshold=3), 5, replies=copy)

    def bare_of_its_self_mask(self, round_):
        round_ = play(round_, "unmask")
        round_.exchange()
        server = LyingServer.of(round_)
        everyone = {i: list(range(5)) for i in range(5)}
        seed = server.seed(self.victim, server.shares_of(self.victim, (0, 1, 2), everyone))
        assert seed is not None  # as it should be: the victim contributed
        return server.bare(self.victim, seed, {})

    def test_masks_that_name_no_parties_cancel_on_the_victim(self, monkeypatch):
        unbound(monkeypatch, "pair_info")
        assert_is_update_of(self.victim, self.bare_of_its_self_mask(self.round(respelled)))

    def test_masks_that_name_both_parties_and_keys_do_not(self):
        assert not is_update_of(self.victim, self.bare_of_its_self_mask(self.round(respelled)))

    def test_a_plain_copy_is_named_before_it_is_relayed(self):
        round_ = self.round(bytes)
        round_.exchange()
        assert set(round_.coordinator.misbehaved) == set(self.originals)
        assert all("advertised before" in why for why in round_.coordinator.misbehaved.values())

    def test_a_server_that_relays_copies_is_refused(self):
        round_ = play(make_round(PairwiseMasking(threshold=3), 5), "shares")
        server = LyingServer.of(round_)
        keys = {i: server.keys(self.originals.get(i, i)) for i in (0, 1, 3, 4)}
        ask = messages.AskShares(
            messages.pack_indices(keys), b"".join(key.sealing + key.mask for key in keys.values()), b""
        )
        with pytest.raises(PeerMisbehaved, match="one public key twice") as error:
            server.ask(self.victim, "shares", ask)
        assert not error.value.culprits
