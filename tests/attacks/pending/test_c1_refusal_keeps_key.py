"""A lying server of a CKKS sum tries malformed asks on a key holder for nothing: each is refused, and the holder keeps
the key that any refusal should erase (docs/protocol-ckks.md, "Who holds what"). It then decrypts one client's
ciphertext, and the server has that client's vector, entry for entry.

Only refusals that are a `ProtocolError` are final. One that is a `WireError` changes nothing.

Closed when: after any refused ask the holder's machine is gone and the well-formed ask meets `LocalMisuse`.
"""

import pytest
from attacker import VICTIM, assert_is_update_of
from oracle import LyingAdder

from secagg.errors import LocalMisuse, PolicyRefused, WireError
from secagg_protocols import CkksSum
from secagg_protocols.ckks.messages import AskDecrypt
from secagg_protocols.ckks.stages import Holding

MALFORMED = {
    "a byte short": lambda ask: AskDecrypt(ask.contributors, ask.body[:-1], ask.masks),
    "a set of more parties": lambda ask: AskDecrypt(ask.contributors + b"\0", ask.body, ask.masks),
    "coefficients out of range": lambda ask: AskDecrypt(ask.contributors, b"\xff" * len(ask.body), ask.masks),
}


def test_a_key_survives_every_malformed_ask_and_opens_one_clients_ciphertext():
    server = LyingAdder(CkksSum())
    holder = server.holders[0]
    ask = server.ask(*server.ciphertext(VICTIM))
    participant = server.round.participants[holder]
    answered = participant.step
    for malformed in MALFORMED.values():
        with pytest.raises(WireError):
            server.decrypted(holder, malformed(ask))
    assert participant.step == answered
    assert isinstance(participant._machine.stage, Holding)
    assert_is_update_of(VICTIM, server.decrypted(holder, ask))


def test_closed_by_the_house_a_refusal_by_policy_has_erased_it():
    """A sum over two: the holder has left the round, its machine with it."""
    server = LyingAdder(CkksSum())
    holder = server.holders[0]
    ciphertext = server.ciphertext(VICTIM)
    with pytest.raises(PolicyRefused):
        server.decrypted(holder, server.ask(*ciphertext, contributors=[holder, VICTIM]))
    assert server.round.participants[holder]._machine is None
    with pytest.raises(LocalMisuse, match="left the round"):
        server.decrypted(holder, server.ask(*ciphertext))
