"""The server gives clients a Paillier key that it made itself, and opens every vector (man in the middle).

Against fresh keys it works: they reach clients through the server, which is trusted to follow the protocol. Keys that
were dealt in advance are known to clients, who take none from the server.
"""

import os

import pytest
from attacker import UPDATES, VICTIM, assert_is_update_of
from paillier_twins import BITS, KEYS, TakesAnyKey, ask, keys_are_small, make_round, played

from secagg.errors import PeerMisbehaved
from secagg.primitives import paillier
from secagg.testing import opened
from secagg_protocols import PaillierSum
from secagg_protocols.paillier.messages import AskEncrypted, Encrypted

__all__ = ["keys_are_small"]


def stolen(scheme):
    """What a server with a key of its own reads from the victim's reply."""
    own = paillier.generate(BITS, os.urandom)
    round_ = played(make_round(scheme), "encrypted")
    message = AskEncrypted(0, own.public.to_bytes())
    reply = opened(ask(round_, VICTIM, "encrypted", message, UPDATES[VICTIM]), Encrypted)
    slots = scheme.parameters(round_.session).slots
    ciphertexts = own.public.read_ciphertexts(reply.ciphertexts, slots.plaintexts)
    return slots.unpack(own.decrypt(ciphertexts))


def test_a_fresh_key_is_whoever_s_the_server_says():
    """Succeeds against ours."""
    assert_is_update_of(VICTIM, stolen(PaillierSum(BITS)))


def test_a_client_that_takes_any_key_is_read():
    assert_is_update_of(VICTIM, stolen(TakesAnyKey(keys=KEYS)))


def test_a_client_that_knows_the_key_takes_no_other():
    with pytest.raises(PeerMisbehaved, match="knows the one that was dealt in advance") as error:
        stolen(PaillierSum(keys=KEYS))
    assert not error.value.culprits
