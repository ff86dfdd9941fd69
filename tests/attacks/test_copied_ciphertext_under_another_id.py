"""A server relays what the victim dealt a second time, as the work of a colluding client that was then lost: asked for
the seed of the one and the key of the other, each neighbour gives both secrets of the victim (Bonawitz et al. 2017,
Fig. 4, Round 1, where the ids stand inside the ciphertext for this).

The colluder advertises the victim's sealing key in its other spelling, so that the same boxes open.
"""

import pytest
from attacker import LyingServer, as_if_asked, assert_is_update_of, make_round, play
from twins import unbound

from secagg.errors import TooFew
from secagg.testing import opened, rewritten
from secagg.wire.packed import unpack_bits
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import HASH_SIZE, SEALED_SIZE, AskMasked, Keys, Shares, Unmask, unpack_indices

VICTIM, COLLUDER = 0, 1
HOLDERS = [2, 3, 4, 5]
DEALERS = {i: list(range(6)) for i in range(6)}


def spliced(message, i, dealt):
    """The ask of "masked" in which the colluder's row is the victim's."""
    ask = opened(message, AskMasked)
    dealers = unpack_indices(ask.dealers, 6)
    sealed, hashes = bytearray(ask.sealed), bytearray(ask.hashes)
    for data, size, source, own in ((sealed, SEALED_SIZE, dealt.sealed, 1), (hashes, 2 * HASH_SIZE, dealt.hashes, 0)):
        place = dealers.index(COLLUDER)
        data[size * place : size * (place + 1)] = source[size * (i - own) :][:size]
    return rewritten(message, AskMasked, sealed=bytes(sealed), hashes=bytes(hashes))


def make_attack():
    sent = {}

    def reply(phase, party, message):
        if phase == "keys":
            sent[party] = opened(message, Keys).sealing
            if party == COLLUDER:
                key = sent[VICTIM]
                return rewritten(message, Keys, sealing=key[:31] + bytes([key[31] ^ 0x80]))
        if (phase, party) == ("masked", COLLUDER):
            return None
        return as_if_asked(message, round_.coordinator.asks()[party])

    def ask(phase, party, message):
        if phase == "masked" and party in HOLDERS:
            return spliced(message, party, opened(round_.sent["shares", VICTIM], Shares))
        return message

    round_ = make_round(PairwiseMasking(threshold=4), asks=ask, replies=reply)
    return round_


def both_secrets(round_):
    play(round_, "unmask").exchange()
    server = LyingServer.of(round_)
    seed = server.seed(VICTIM, server.shares_of(VICTIM, HOLDERS, DEALERS))
    key = server.mask_key(VICTIM, server.shares_of(COLLUDER, HOLDERS, DEALERS))
    return server, seed, key


def test_boxes_that_name_nobody_can_be_relabelled(monkeypatch):
    unbound(monkeypatch, "pair_info", "sealing_key", "sealing_data", "share_hashes")
    server, seed, key = both_secrets(make_attack())
    vector = server.bare(VICTIM, seed, server.pairs(VICTIM, key, server.mask_publics(VICTIM)))
    assert_is_update_of(VICTIM, vector)


def test_a_relabelled_box_does_not_open():
    round_ = make_attack()
    _, seed, key = both_secrets(round_)
    assert seed is not None  # the victim contributed
    assert key is None
    for i in HOLDERS:
        held = unpack_bits(opened(round_.sent["unmask", i], Unmask).held, 6)
        assert held.tolist() == [j != COLLUDER for j in range(6)]


def test_the_round_ends_without_a_sum():
    round_ = make_attack()
    with pytest.raises(TooFew) as error:
        round_.run()
    assert (error.value.phase, error.value.needed) == ("unmask", 4)
    assert round_.coordinator.result is None


@pytest.mark.parametrize("one", ["pair_info", "sealing_key", "sealing_data", "share_hashes"])
def test_each_of_the_four_names_is_enough(monkeypatch, one):
    unbound(monkeypatch, *{"pair_info", "sealing_key", "sealing_data", "share_hashes"} - {one})
    assert both_secrets(make_attack())[2] is None
