"""A server hands a key holder the ciphertext (0, scale): its "sum" is the secret key itself (Li and Micciancio, "On
the Security of Homomorphic Encryption on Approximate Numbers", EUROCRYPT 2021, for what decryption of chosen
ciphertexts gives away; here no noise is needed, the key is rounded like any integer).

It works, and the threat model says so: the holder decrypts what it is given. With the key every update is open.
"""

import numpy as np
import pytest
from attacker import VICTIM, assert_is_update_of
from oracle import LyingAdder

from secagg.errors import PeerMisbehaved
from secagg.primitives.ckks import DEGREE
from secagg.scheme import Session
from secagg_protocols import CkksSum

DIM = DEGREE + 10


def wide_round():
    """A vector longer than one polynomial, so that all coefficients of the key come out at once."""
    updates = {i: np.random.default_rng(i).integers(0, 2**16, DIM, np.uint16) for i in range(5)}
    return LyingAdder(CkksSum(), Session.create(range(5), updates[0]), updates), updates


def zero_and_scale(server):
    """The uniform half is the constant `scale`, whose transform is `scale` everywhere: scale * s, and no noise."""
    masks = np.full((server.parameters.blocks(server.session.dim), DEGREE), server.parameters.scale, np.uint64)
    return server.ask(np.zeros(server.session.dim, np.uint64), masks)


def test_the_key_comes_out_and_opens_every_update():
    server, updates = wide_round()
    answer = server.decrypted(server.holders[0], zero_and_scale(server))
    assert len(set(answer.tolist())) == 3
    key = server.key_of(answer)
    for party, update in updates.items():
        opened = key.decrypt(*server.ciphertext(party))
        np.testing.assert_array_equal(opened[: update.size], update)


def test_of_a_short_vector_only_its_length_comes_out():
    server = LyingAdder(CkksSum())
    answer = server.decrypted(server.holders[0], zero_and_scale(server))
    assert answer.size == server.session.dim
    assert len(set(answer.tolist())) <= 3


def test_the_sum_is_refused_to_whom_asked_for_the_key_first():
    server, _ = wide_round()
    holder = server.holders[0]
    honest = server.round.coordinator.asks()[holder]
    server.decrypted(holder, zero_and_scale(server))
    with pytest.raises(PeerMisbehaved, match="a second, different ask"):
        server.round.participants[holder].answer(honest, None)


def test_the_key_of_one_round_opens_no_other():
    server, _ = wide_round()
    key = server.key_of(server.decrypted(server.holders[0], zero_and_scale(server)))
    other, updates = wide_round()
    opened = key.decrypt(*other.ciphertext(VICTIM))
    assert (opened[:DIM] == updates[VICTIM]).sum() < 20
    again = LyingAdder(CkksSum())
    assert_is_update_of(VICTIM, again.decrypted(again.holders[0], again.ask(*again.ciphertext(VICTIM))))
