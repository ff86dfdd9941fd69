"""A lying server of a CKKS sum tries malformed asks on a key holder, one after the other. Were a refusal to cost it
nothing, the holder would keep the key that each of them should erase (docs/protocol-ckks.md, "Who holds what"), and at
last open one client's ciphertext: the server has that client's vector, entry for entry.
"""

import pytest
from attacker import VICTIM, assert_is_update_of
from oracle import LyingAdder
from twins import GoesOn

from secagg.errors import LocalMisuse, PolicyRefused, WireError
from secagg_protocols import CkksSum
from secagg_protocols.ckks.messages import AskDecrypt

MALFORMED = {
    "a byte short": lambda ask: AskDecrypt(ask.contributors, ask.body[:-1], ask.masks),
    "a set of more parties": lambda ask: AskDecrypt(ask.contributors + b"\0", ask.body, ask.masks),
    "coefficients out of range": lambda ask: AskDecrypt(ask.contributors, b"\xff" * len(ask.body), ask.masks),
}


def before_the_decryption(kind=None):
    """(server, a holder of the key, the ask that opens the victim's ciphertext alone)."""
    server = LyingAdder(CkksSum())
    holder = server.holders[0]
    if kind is not None:
        server.round.participants[holder].__class__ = kind
    return server, holder, server.ask(*server.ciphertext(VICTIM))


def test_a_key_that_survives_refusals_opens_one_clients_ciphertext():
    server, holder, ask = before_the_decryption(GoesOn)
    for malformed in MALFORMED.values():
        with pytest.raises(WireError):
            server.decrypted(holder, malformed(ask))
    assert_is_update_of(VICTIM, server.decrypted(holder, ask))


@pytest.mark.parametrize("kind", MALFORMED)
def test_the_first_malformed_ask_has_erased_it(kind):
    server, holder, ask = before_the_decryption()
    participant = server.round.participants[holder]
    seed = participant._machine.stage.seed
    assert seed in participant.state()
    with pytest.raises(WireError):
        server.decrypted(holder, MALFORMED[kind](ask))
    assert participant._machine is None
    assert seed not in participant.state()
    with pytest.raises(LocalMisuse, match="left the round"):
        server.decrypted(holder, ask)


def test_a_refusal_by_policy_has_erased_it():
    """A sum over two."""
    server, holder, ask = before_the_decryption()
    with pytest.raises(PolicyRefused):
        server.decrypted(holder, server.ask(*server.ciphertext(VICTIM), contributors=[holder, VICTIM]))
    assert server.round.participants[holder]._machine is None
    with pytest.raises(LocalMisuse, match="left the round"):
        server.decrypted(holder, ask)
