"""Secrets of Paillier sums looked for where they must not be: on the wire, in reprs, in errors and their tracebacks
with all local variables, in log records and in saved state (issue 5; CWE-532, CWE-209).

Secrets are the factors of fresh keys, shares of keys dealt in advance, and the exponents that blind.
"""

import logging
import os
import re

import pytest
from attacker import UPDATES, VICTIM
from paillier_twins import BITS, KEYS, N, keys_are_small, make_round
from test_secrets_in_plain_sight import told

from secagg.api import Participant
from secagg.errors import SecaggError
from secagg.primitives import paillier
from secagg.primitives.paillier import PublicKey
from secagg.testing import SeededEntropy, rewritten, small_keys
from secagg_protocols import PaillierSum
from secagg_protocols.paillier.messages import AskDecrypt, AskEncrypted

__all__ = ["keys_are_small"]

KEY = os.urandom(32)
with small_keys(BITS):
    SCHEMES = {"fresh": PaillierSum(BITS), "two of three": PaillierSum(keys=KEYS)}
every_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


class Tap:
    """Collects secret numbers as they are made."""

    def __init__(self, monkeypatch):
        self.numbers = {KEYS.secret(holder).exponent for holder in KEYS.holders}
        generate, encrypt_with = paillier.generate, PublicKey.encrypt_with

        def watched_generate(*arguments):
            key = generate(*arguments)
            self.numbers.update(key.factors)
            return key

        def watched_encrypt(public, plaintexts, exponents):
            self.numbers.update(exponents)
            self.numbers.update(m for m in plaintexts if m > 2**64)
            return encrypt_with(public, plaintexts, exponents)

        monkeypatch.setattr(paillier, "generate", watched_generate)
        monkeypatch.setattr(PublicKey, "encrypt_with", watched_encrypt)

    def in_bytes(self, data):
        """In either order of bytes, whatever stands around them."""
        return [
            number
            for number in self.numbers
            for order in ("big", "little")
            if number.to_bytes((number.bit_length() + 7) // 8, order) in data
        ]

    def in_text(self, text):
        flat = unquoted(text)
        return [
            number
            for number in self.numbers
            if str(number) in flat
            or f"{number:x}" in flat.lower()
            or unquoted(repr(number.to_bytes((number.bit_length() + 7) // 8))[2:-1]) in flat
        ]


def unquoted(text):
    """However often it was quoted: runs of backslashes are one, and none stands before a quotation mark."""
    return re.sub(r"\\(?=['\"])", "", re.sub(r"\\+", r"\\", text))


@pytest.fixture
def tap(monkeypatch):
    return Tap(monkeypatch)


def recorded(scheme, **options):
    frames = []

    def keep(phase, party, message):
        frames.append(message)
        return message

    return make_round(scheme, asks=keep, replies=keep, **options), frames


def machine(participant):
    return participant._machine


def test_the_search_finds_what_is_there(tap):
    round_, _ = recorded(SCHEMES["fresh"], entropy=SeededEntropy(1))
    round_.step()
    states = [machine(round_.participants[i]).save() for i in range(3)]
    assert all(len(tap.in_bytes(state)) == 2 for state in states)
    assert all(len(tap.in_text(repr(state))) == 2 for state in states)
    round_.run()
    assert len(tap.numbers) > 3 * 2 + N


@every_scheme
def test_on_the_wire(tap, scheme):
    round_, frames = recorded(scheme)
    round_.run()
    assert tap.in_bytes(b"".join(frames)) == []


@every_scheme
def test_in_reprs(tap, scheme):
    round_, _ = recorded(scheme)
    texts = [repr(scheme), str(scheme), repr(scheme.options)]
    while not round_.coordinator.done:
        round_.step()
        for participant in round_.participants.values():
            party = machine(participant)
            texts += [repr(it) for it in (participant, participant._round, party, party.stage, party.secret)]
            texts += [repr(vars(it)) for it in (participant, party)]
        server = round_.coordinator
        texts += [repr(server), repr(server._round), repr(server._stage), repr(server._known)]
    assert tap.in_text("".join(texts)) == []


@every_scheme
def test_in_saved_state(tap, scheme):
    round_, _ = recorded(scheme)
    while not round_.coordinator.done:
        round_.step()
        saved = [participant.save(KEY) for participant in round_.participants.values()]
        assert tap.in_bytes(b"".join([*saved, round_.coordinator.save(KEY)])) == []
    plain = b"".join(participant.state() for participant in round_.participants.values())
    assert tap.in_bytes(plain) == []  # the round is over: even the plain state opens nothing


LIES = {
    "no key": ("encrypted", AskEncrypted, {"key": b"?"}),
    "a bad key": ("encrypted", AskEncrypted, {"key": bytes(64)}),
    "another holder": ("encrypted", AskEncrypted, {"holder": 99}),
    "no contributors": ("decrypt", AskDecrypt, {"contributors": b"\0"}),
    "no set": ("decrypt", AskDecrypt, {"contributors": b""}),
    "another model": ("decrypt", AskDecrypt, {"context": b""}),
    "no ciphertexts": ("decrypt", AskDecrypt, {"ciphertexts": b""}),
    "bad ciphertexts": ("decrypt", AskDecrypt, {"ciphertexts": bytes(64)}),
}


@every_scheme
@pytest.mark.parametrize("lie", LIES)
def test_in_refusals(tap, scheme, lie):
    phase, kind, changes = LIES[lie]
    round_ = make_round(scheme, asks=lambda at, i, m: rewritten(m, kind, **changes) if at == phase else m)
    with pytest.raises(SecaggError) as error:
        round_.run()
    refusals = [*round_.refusals.values(), error.value]
    assert len(refusals) > 1
    for refusal in refusals:
        assert tap.in_text(told(refusal)) == []


@every_scheme
def test_in_refused_state(tap, scheme):
    round_, _ = recorded(scheme)
    while round_.coordinator.phase != "decrypt":
        round_.step()
    saved = round_.participants[0].save(KEY)
    for options in ({"latch": 9}, {"key": bytes(32)}, {"data": saved[:-1]}, {"scheme": PaillierSum(BITS + 2)}):
        with pytest.raises(SecaggError) as error:
            Participant.restore(**{"scheme": scheme, "data": saved, "key": KEY, "seat": 0} | options)
        assert tap.in_text(told(error.value)) == []


@every_scheme
def test_in_log_records(tap, scheme, caplog):
    caplog.set_level(logging.DEBUG)
    recorded(scheme)[0].run()
    assert tap.in_text("".join(record.getMessage() for record in caplog.records)) == []


def test_a_vector_is_in_no_frame(tap):
    """Not even its first entries."""
    round_, frames = recorded(SCHEMES["two of three"])
    round_.run()
    for order in ("<u2", ">u2"):
        assert UPDATES[VICTIM][:4].astype(order).tobytes() not in b"".join(frames)
