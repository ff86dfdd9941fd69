"""Shares that are forged, flipped on their way or dealt wrongly: they frame an honest dealer, or bend the sum in
silence (verifiable sharing: Feldman, FOCS 1987; for this protocol Bell et al., "ACORN", USENIX Security 2023).
"""

import numpy as np
import pytest
from attacker import UPDATES, VICTIM, N, as_if_asked, look_at_no_counter, make_round, on
from twins import Twin, without_commitments

from secagg.errors import PeerMisbehaved
from secagg.testing import opened, rewritten
from secagg.wire.packed import unpack_bits
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise import derive
from secagg_protocols.pairwise.messages import HASH_SIZE, SALT_SIZE, SEALED_SIZE, SHARE_SIZE, AskMasked, Unmask
from secagg_protocols.pairwise.party import PairwiseParty

LIAR = 2
EXPECTED = sum(UPDATES[i].astype(np.uint64) for i in range(N))


def flip(data, at, bit=1):
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


def forging(at):
    """The liar changes one byte of its share of the victim's seed."""
    return on("unmask", [LIAR], lambda m: rewritten(m, Unmask, shares=flip(opened(m, Unmask).shares, at)))


AT = SHARE_SIZE * VICTIM


def one_hash_for_all(bound, of_seed, dealers, holders, salted):
    return np.zeros((len(salted), HASH_SIZE), np.uint8)


def test_without_hashes_a_forger_frames_the_dealer(monkeypatch):
    monkeypatch.setattr(derive, "share_hashes", one_hash_for_all)
    with pytest.raises(PeerMisbehaved, match="dealt wrongly") as error:
        make_round(PairwiseMasking(), replies=forging(AT)).run()
    assert error.value.culprits == {VICTIM}


@pytest.mark.parametrize("at", [AT, AT + 7, AT + 39, AT + SHARE_SIZE - SALT_SIZE, AT + SHARE_SIZE - 1])
def test_the_forger_is_named_and_the_sum_is_exact(at):
    out = make_round(PairwiseMasking(), replies=forging(at)).run()
    assert set(out.misbehaved) == {LIAR}
    np.testing.assert_array_equal(out.ring_sum, EXPECTED)


class Misdealer(PairwiseParty):
    """Deals shares of another seed than it masks with; all of them agree with each other and with their hashes."""

    def _split(self, seed, private, holders):
        return super()._split(bytes(32) if self.me == LIAR else seed, private, holders)


class Misdealt(Twin):
    """One of whose clients does."""

    client = Misdealer


def test_without_commitments_a_wrong_seed_bends_the_sum_in_silence(monkeypatch):
    without_commitments(monkeypatch)
    look_at_no_counter(monkeypatch)
    out = make_round(Misdealt()).run()
    assert not out.misbehaved
    assert (out.ring_sum != EXPECTED).any()


def test_the_misdealer_is_named_and_there_is_no_sum():
    round_ = make_round(Misdealt())
    with pytest.raises(PeerMisbehaved, match="dealt wrongly") as error:
        round_.run()
    assert error.value.culprits == {LIAR}
    assert round_.coordinator.result is None


@pytest.mark.parametrize("at", [0, SHARE_SIZE, SEALED_SIZE - 1])
def test_a_box_flipped_on_its_way_is_one_missing_share(at):
    """In the first dealer's box for the liar: seed share, key share, tag. Both ends of it are named: either may lie."""
    spoil = on("masked", [LIAR], lambda m: rewritten(m, AskMasked, sealed=flip(opened(m, AskMasked).sealed, at)))
    round_ = make_round(
        PairwiseMasking(), asks=spoil, replies=lambda _, i, m: as_if_asked(m, round_.coordinator.asks()[i])
    )
    out = round_.run()
    held = unpack_bits(opened(round_.sent["unmask", LIAR], Unmask).held, N)
    assert held.tolist() == [i != 0 for i in range(N)]
    assert not out.misbehaved
    assert set(out.accused) == {0}
    assert "no sound share of its secrets, say the holders [2]" in out.accused[0]
    np.testing.assert_array_equal(out.ring_sum, EXPECTED)


class Garbler(PairwiseParty):
    """Deals one holder a limb that is no element of the field, under a hash that fits."""

    honest, at = 3, 0

    def _split(self, seed, private, holders):
        pairs = super()._split(seed, private, holders)
        if self.me == LIAR:
            pair = pairs[self.honest]
            pairs[self.honest] = pair[: self.at] + b"\xff" * 8 + pair[self.at + 8 :]
        return pairs


@pytest.mark.parametrize("at", [0, SHARE_SIZE - SALT_SIZE - 8, SHARE_SIZE, 2 * SHARE_SIZE - SALT_SIZE - 8])
def test_whoever_is_dealt_no_share_is_not_taken_for_a_forger(at, monkeypatch):
    """First and last limb of the seed share and of the key share."""

    class Scheme(Twin):
        client = Garbler

    monkeypatch.setattr(Garbler, "at", at)
    round_ = make_round(Scheme())
    out = round_.run()
    held = unpack_bits(opened(round_.sent["unmask", Garbler.honest], Unmask).held, N)
    assert held.tolist() == [i != LIAR for i in range(N)]
    assert not out.misbehaved
    assert set(out.accused) == {LIAR}
    np.testing.assert_array_equal(out.ring_sum, EXPECTED)
