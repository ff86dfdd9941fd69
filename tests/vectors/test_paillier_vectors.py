"""A key of 2048 bits, for tests alone, and whole rounds: an independent reader agrees with all of it, the code
reproduces it, and both refuse the messages that must be refused.
"""

import json

from paillier import generate, verify
from replay import RecordedRounds

from secagg.primitives.paillier import KeyShare, PrivateKey, PublicKey, SharedKey
from secagg_protocols import PaillierKeys

KNOWN = json.loads((generate.FOLDER / "known_answers.json").read_text("utf-8"))


def numbers(name):
    return [int(text, 16) for text in KNOWN[name]]


def key_file():
    return PaillierKeys.load(generate.FOLDER / "test.key", generate.PASSPHRASE)


class TestPaillier(RecordedRounds):
    generate, verify = generate, verify
    losses = {"deal", "encrypted", "decrypt"}
    unread = {("about",), ("warning",), ("holders", "1")}
    """Holder 1 is lost before it opens anything."""

    @classmethod
    def make(cls):
        return generate.rounds(key_file())

    def check(self, document):
        verify.verify_round(document, KNOWN)


def test_the_key_says_what_it_is():
    assert KNOWN["warning"].startswith("TEST KEY")
    assert all(document["warning"] == KNOWN["warning"] for document in TestPaillier.files.values())


def test_the_code_agrees():
    public = PublicKey(int(KNOWN["n"], 16), int(KNOWN["h"], 16))
    key = SharedKey(public, KNOWN["threshold"], int(KNOWN["base"], 16), numbers("verifiers"))
    ciphertexts, plaintexts = numbers("ciphertexts"), numbers("plaintexts")
    assert public.encrypt_with(plaintexts, numbers("exponents")) == ciphertexts
    whole = PrivateKey(int(KNOWN["p"], 16), int(KNOWN["q"], 16), public.h)
    assert whole.decrypt(ciphertexts) == plaintexts
    rows = {}
    for i, (partials, proof) in enumerate(zip(KNOWN["partials"], KNOWN["proofs"], strict=True), 1):
        rows[i] = [int(text, 16) for text in partials]
        key.check_share(KeyShare(i, numbers("shares")[i - 1]))
        key.check_partial(i, ciphertexts, rows[i], bytes.fromhex(proof), bytes.fromhex(KNOWN["label"]))
    assert key.combine({1: rows[1], 3: rows[3]}) == plaintexts


def test_the_key_file_opens():
    found = key_file()
    assert list(found.holders) == generate.HOLDERS
    assert [found.secret(holder).exponent for holder in found.holders] == numbers("shares")
