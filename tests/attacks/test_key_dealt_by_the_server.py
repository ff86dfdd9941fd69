"""A server deals the key of a CKKS sum itself, in a dealer's name (man in the middle; issue 5).

It works, and the threat model says so: the clients' X25519 keys are signed by nobody. What does hold: a dealer, which
is a client, cannot deal two keys without being named, because all clients are shown one commitment.
"""

import numpy as np
import pytest
from attacker import CONTEXT, UPDATES, VICTIM, N, assert_is_update_of, look_at_no_counter, make_session, play

from secagg.primitives import agreement, sealing
from secagg.primitives.ckks import Masks, SecretKey
from secagg.testing import TestRound, opened, rewritten
from secagg_protocols import CkksSum
from secagg_protocols.ckks import derive, residues
from secagg_protocols.ckks.messages import AskEncrypted, Encrypted, Keys

SCHEME = CkksSum()


def test_a_server_that_deals_reads_every_update():
    session = make_session()
    parameters = SCHEME.parameters(session)
    bound = derive.binding(session.digest, CONTEXT, SCHEME.fingerprint, parameters.digest)
    private, seed = agreement.generate(lambda n: bytes([7]) * n), bytes(32)
    public, commitment = agreement.public_key(private), derive.commitment(bound, seed)

    def deal(phase, party, message):
        if phase != "encrypted":
            return message
        client = opened(round_.sent["keys", party], Keys).key
        info = derive.sealing_info(0, public, party, client)
        (key,) = agreement.derive_many([private], [client], [info], bound)
        box = sealing.seal(key, seed, derive.sealing_data(bound, commitment, 0, party))
        return rewritten(message, AskEncrypted, dealer=0, key=public, commitment=commitment, box=box)

    round_ = TestRound(SCHEME, session, UPDATES, asks=deal)
    play(round_, "encrypted").exchange()
    assert not round_.refusals
    sent = opened(round_.sent["encrypted", VICTIM], Encrypted)
    masks = Masks(parameters, session.dim)
    masks.add(sent.seeds)
    body = residues.unpack(sent.body, session.dim, parameters, "body")
    assert_is_update_of(VICTIM, SecretKey(seed, parameters).decrypt(body, masks.values()))


@pytest.fixture
def two_keys(monkeypatch):
    """Whoever deals seals another seed for the victim."""
    seal, ours = sealing.seal, VICTIM.to_bytes(4, "little")
    monkeypatch.setattr(
        sealing, "seal", lambda key, plain, data: seal(key, bytes(32) if data.endswith(ours) else plain, data)
    )


@pytest.mark.usefixtures("two_keys")
def test_without_a_commitment_two_keys_make_a_wrong_sum(monkeypatch):
    monkeypatch.setattr(derive, "commitment", lambda bound, seed: bytes(32))
    look_at_no_counter(monkeypatch)
    out = TestRound(SCHEME, make_session(entropy=bytes), UPDATES).run()
    assert out.contributors == set(range(N))
    assert not out.misbehaved
    total = sum(UPDATES[i].astype(np.uint64) for i in range(N))
    assert (out.ring_sum == total).sum() < 3


@pytest.mark.usefixtures("two_keys")
def test_the_client_with_another_key_sends_nothing_and_accuses_the_dealer():
    round_ = TestRound(SCHEME, make_session(entropy=bytes), UPDATES)
    out = round_.run()
    assert opened(round_.sent["encrypted", VICTIM], Encrypted) == Encrypted(b"", b"")
    assert set(out.accused) == {0}  # whom a session of this id asks first
    assert out.contributors == set(range(N)) - {VICTIM}
    np.testing.assert_array_equal(out.ring_sum, sum(UPDATES[i].astype(np.uint64) for i in out.contributors))


def test_any_client_with_the_server_reads_any_update():
    """By design: all who encrypt hold the key while they do, whoever is asked to keep it."""
    session = make_session()
    seen = []
    real = SecretKey.__init__

    def remember(key, seed, parameters):
        seen.append(seed)
        real(key, seed, parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SecretKey, "__init__", remember)
        round_ = TestRound(SCHEME, session, UPDATES)
        out = round_.run()
    assert len(set(seen)) == 1
    parameters = SCHEME.parameters(session)
    sent = opened(round_.sent["encrypted", VICTIM], Encrypted)
    masks = Masks(parameters, session.dim)
    masks.add(sent.seeds)
    body = residues.unpack(sent.body, session.dim, parameters, "body")
    assert_is_update_of(VICTIM, SecretKey(seen[0], parameters).decrypt(body, masks.values()))
    assert out.contributors == set(range(N))
