"""A key holder sends a wrong decryption, to spoil or to choose the sum (Shoup, Eurocrypt 2000; Damgard, Jurik and
Nielsen 2010, 4.3). A server that does not check proofs takes it; ours names the holder, and the others open the sum.
"""

import numpy as np
import pytest
from attacker import UPDATES
from paillier_twins import BITS, KEYS, N, Opens, keys_are_small, make_round, without_proofs

from secagg.errors import PeerMisbehaved, TooFew
from secagg.testing import opened, rewritten
from secagg_protocols import PaillierSum
from secagg_protocols.paillier.messages import Decrypted

__all__ = ["keys_are_small"]

LIAR = 1
TRUE = sum(UPDATES[i].astype(np.uint64) for i in range(N))


def added(round_, amount):
    """The liar's partial decryptions times those of `amount` in the first slot: (1 + n)**x opens to x."""

    def change(phase, party, message):
        if (phase, party) != ("decrypt", LIAR):
            return message
        server = Opens(round_[0])
        key, opening = server.opening.public, server.opening
        values = opening.read(opened(message, Decrypted).values, server.parameters.slots.plaintexts)
        # Delta = 6, and the weight at 0 of holder 2 beside holder 1 is -6: 2 * -6 * x must be 4 * 36 * amount
        shift = 4 * 36 * amount * pow(-12, -1, key.n) % key.n
        values[0] = values[0] * (1 + shift * key.n) % key.n_squared
        return rewritten(message, Decrypted, values=opening.write(values))

    return change


def attacked(lost):
    it = []
    round_ = make_round(PaillierSum(keys=KEYS), lost=lost, replies=added(it, 7))
    it.append(round_)
    return round_


def test_without_a_proof_one_holder_chooses_the_sum(monkeypatch):
    without_proofs(monkeypatch)
    out = attacked({2: "decrypt"}).run()
    assert not out.misbehaved
    wrong = TRUE.copy()
    wrong[0] += 7
    np.testing.assert_array_equal(out.ring_sum, wrong)


def test_with_the_proof_the_holder_is_named_and_the_sum_is_exact():
    out = attacked({}).run()
    assert set(out.misbehaved) == {LIAR}
    assert "the proof fails" in out.misbehaved[LIAR]
    assert out.lost == {LIAR: "decrypt"}
    np.testing.assert_array_equal(out.ring_sum, TRUE)


def single_holder():
    def change(phase, party, message):
        if phase != "decrypt":
            return message
        values = opened(message, Decrypted).values
        return rewritten(message, Decrypted, values=values[:-1] + bytes([values[-1] ^ 1]))

    return make_round(PaillierSum(BITS), replies=change)


def test_without_a_proof_a_single_holder_chooses_the_sum(monkeypatch):
    without_proofs(monkeypatch)
    out = single_holder().run()
    assert int(out.ring_sum[0]) == int(TRUE[0]) ^ 1


def test_with_the_proof_a_single_holder_is_named():
    round_ = single_holder()
    with pytest.raises(TooFew):
        round_.run()
    assert set(round_.coordinator.misbehaved) == {0}


def test_what_does_not_fit_together_is_never_a_sum(monkeypatch):
    """Even without proofs: a partial that is off by no power of 1 + n gives no plaintext."""

    def change(phase, party, message):
        if (phase, party) != ("decrypt", LIAR):
            return message
        values = opened(message, Decrypted).values
        return rewritten(message, Decrypted, values=values[:-1] + bytes([values[-1] ^ 1]))

    without_proofs(monkeypatch)
    round_ = make_round(PaillierSum(keys=KEYS), lost={2: "decrypt"}, replies=change)
    with pytest.raises(PeerMisbehaved, match="do not fit together"):
        round_.run()
