"""Secrets of a CKKS sum looked for where they must not be: as `test_secrets_in_plain_sight` does for masks.

The secrets are every private X25519 key, the seed of the round's secret key, the keys that seal it, and the secret
key's coefficients.
"""

import logging
import os

import numpy as np
import pytest
from attacker import UPDATES, N, make_session, play
from test_secrets_in_plain_sight import KEY, closing_error, restore_error, told, without
from test_secrets_in_plain_sight import Tap as TapOfMasks

from secagg.errors import ProtocolError, SecaggError, WireError
from secagg.primitives import agreement, ckks
from secagg.testing import TestRound, opened, rewritten
from secagg.wire.packed import pack_bits
from secagg_protocols import CkksSum
from secagg_protocols.ckks.messages import AskDeal, AskDecrypt, AskEncrypted, Decrypted

SCHEME = CkksSum()
VICTIM = 1


class Tap(TapOfMasks):
    """All that a party draws, derives or expands."""

    def __init__(self, monkeypatch):
        self.secrets = set()
        for module, name in ((agreement, "derive_many"), (ckks, "_ternary")):
            monkeypatch.setattr(module, name, self._watched(getattr(module, name)))

    def _watched(self, derivation):
        def watched(*arguments):
            made = derivation(*arguments)
            found = made if isinstance(made, list) else [made.astype(np.int8).tobytes()]
            self.secrets.update(secret for secret in found if secret)
            return made

        return watched


@pytest.fixture
def tap(monkeypatch):
    return Tap(monkeypatch)


def ckks_round(tap, **options):
    frames = []

    def keep(phase, party, message):
        frames.append(message)
        return message

    session = make_session(entropy=bytes)  # parties 0, 1 and 2 deal, and hold the key
    given = {"entropy": tap.entropy, "asks": keep, "replies": keep} | options
    return TestRound(SCHEME, session, UPDATES, **given), frames


def states(round_):
    return [participant._machine.save() for participant in round_.participants.values()]


def test_the_search_finds_what_is_there(tap):
    round_, _ = ckks_round(tap)
    found = set()
    while not round_.coordinator.done:
        round_.step()
        for state in states(round_):
            found.update(tap.in_bytes(state))
            assert set(tap.in_text(repr(state))) == set(tap.in_bytes(state))
    assert len(found) == N + 1  # a private key each, and the one seed that the holders keep


def test_on_the_wire(tap):
    round_, frames = ckks_round(tap, lost={4: "encrypted"})
    round_.run()
    assert len(tap.secrets) > 3 * N
    assert tap.in_bytes(b"".join(frames)) == []


def test_in_reprs(tap):
    round_, _ = ckks_round(tap)
    texts = []
    while not round_.coordinator.done:
        round_.step()
        for participant in round_.participants.values():
            party = participant._machine
            texts += [repr(it) for it in (participant, participant._round, party, party.stage)]
            texts += [repr(vars(it)) for it in (participant, party)]
        server = round_.coordinator
        texts += [repr(server), repr(server._round), repr(vars(server)), repr(server._stage)]
        texts.append(repr(vars(server._stage) if server._stage else None))
    assert tap.in_text("".join(texts)) == []


def test_in_a_key(tap):
    key = ckks.SecretKey(tap.entropy(32), SCHEME.parameters(make_session()))
    assert tap.in_text(f"{key!r} {key} {vars(key)!r}") == []


def test_in_saved_state(tap):
    round_, _ = ckks_round(tap)
    while not round_.coordinator.done:
        round_.step()
        saved = [participant.save(KEY) for participant in round_.participants.values()]
        assert tap.in_bytes(b"".join([*saved, round_.coordinator.save(KEY)])) == []
        assert tap.in_bytes(round_.coordinator.state()) == []  # the server never holds a secret, even in clear
    assert tap.in_bytes(b"".join(each.state() for each in round_.participants.values())) == []


LIES = {
    "no keys": ("deal", without(AskDeal, keys=b"")),
    "one key twice": ("deal", lambda m: rewritten(m, AskDeal, keys=twice(opened(m, AskDeal).keys))),
    "a key of low order": ("deal", lambda m: rewritten(m, AskDeal, keys=bytes(32) + opened(m, AskDeal).keys[32:])),
    "a dealer's key of low order": ("encrypted", without(AskEncrypted, key=bytes(32))),
    "another context": ("encrypted", without(AskEncrypted, context=bytes(32))),
    "no ciphertext": ("decrypt", without(AskDecrypt, body=b"")),
    "no masks": ("decrypt", without(AskDecrypt, masks=b"")),
    "a small cohort": ("decrypt", without(AskDecrypt, contributors=pack_bits([i < 2 for i in range(N)]))),
}


def twice(keys):
    return keys[:64] + keys[32:64] + keys[96:]


@pytest.mark.parametrize(("phase", "lie"), LIES.values(), ids=LIES)
def test_in_a_clients_refusals(tap, phase, lie):
    def asks(at, party, message):
        return lie(message) if (at, party) == (phase, VICTIM) else message

    round_, _ = ckks_round(tap, asks=asks)
    play(round_, phase).exchange()
    refusal = round_.refusals[VICTIM]
    assert isinstance(refusal, ProtocolError | WireError)
    assert tap.in_text(told(refusal)) == []


def test_in_a_servers_errors(tap):
    def replies(phase, party, message):
        if (phase, party) != ("decrypt", VICTIM):
            return message
        return rewritten(message, Decrypted, vector=bytes(len(opened(message, Decrypted).vector)))

    round_, _ = ckks_round(tap, replies=replies)
    play(round_, "decrypt").exchange()
    assert tap.in_text(closing_error(round_.coordinator)) == []


def test_in_refused_state(tap):
    round_, _ = ckks_round(tap)
    play(round_, "decrypt")
    saved = round_.participants[VICTIM].save(KEY)
    errors = [
        restore_error(SCHEME, saved, KEY, latch=9),
        restore_error(SCHEME, saved, os.urandom(32)),
        restore_error(SCHEME, saved[:-1], KEY),
        restore_error(CkksSum(holders=2), saved, KEY),
    ]
    assert tap.in_text("".join(errors)) == []


def test_in_log_records(tap, caplog):
    caplog.set_level(logging.DEBUG)
    round_, _ = ckks_round(tap, lost={2: "decrypt"})
    round_.run()
    assert tap.in_text("".join(record.getMessage() for record in caplog.records)) == []
    assert [record for record in caplog.records if record.name.startswith("secagg")] == []


def test_an_error_inside_seal_shows_no_key(tap, monkeypatch):
    """Whatever fails below, what an error reporter sends of it holds no secret that is not already in the caller's."""
    round_, _ = ckks_round(tap)
    play(round_, "encrypted")
    ask = round_.coordinator.asks()[VICTIM]

    def broken(*_):
        raise WireError("broken")

    monkeypatch.setattr(ckks._Seal, "taken_apart", broken)
    with pytest.raises(SecaggError) as error:
        round_.participants[VICTIM].answer(ask, UPDATES[VICTIM])
    assert tap.in_text(told(error.value)) == []
