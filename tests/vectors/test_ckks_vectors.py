"""Whole rounds of CKKS sums as files: a reader that knows no SEAL agrees with them, and both ends reproduce them."""

import copy
import hashlib

import pytest
from ckks import generate, verify
from lying import reframed
from replay import RecordedRounds

from secagg.testing import opened
from secagg_protocols.ckks.messages import Encrypted


class TestCkks(RecordedRounds):
    generate, verify = generate, verify
    losses = {"keys", "deal", "encrypted"}

    def test_the_files_cover_one_holder_and_two(self, rounds):
        assert {round_.scheme.holders for round_ in rounds.values()} == {1, 2}

    @pytest.mark.parametrize("what", generate.KEYLESS)
    def test_a_client_without_a_key_says_so(self, what, rounds):
        case, round_ = self.keyless(what), rounds["two_holders"]
        client = self.party_before(round_, case["party"], case["phase"])
        reply = client.answer(bytes.fromhex(case["message"]), round_.update(case["party"]))
        assert opened(reply, Encrypted) == Encrypted(b"", b"")

    @pytest.mark.parametrize("what", generate.KEYLESS)
    def test_the_reader_refuses_a_key_for_nobody(self, what):
        assert not self.agrees(self.with_message(self.keyless(what)))

    def keyless(self, what):
        return next(case | {"end": "client"} for case in self.negative["keyless"] if case["name"] == what)

    @pytest.mark.parametrize("data", [b"abc", bytes(128), bytes(300)])
    def test_the_reader_s_hash_is_blake2b(self, data):
        """That its outputs are chained as SEAL does, the ciphertexts' small noise shows."""
        assert verify.blake2b(bytes.fromhex("40000101" + "00" * 60), data) == hashlib.blake2b(data).digest()

    @pytest.mark.parametrize("wrong", ["body", "seeds", "another entry"])
    def test_the_reader_notices_a_ciphertext_of_something_else(self, wrong):
        """Whole frames with right checksums, so that only the arithmetic can tell."""
        document = copy.deepcopy(self.files["two_holders"])
        replies = document["phases"][2]["replies"]
        (body, seeds), client = verify.Round(document).replies["encrypted"][4], document["clients"][4]
        if wrong == "body":
            body = verify.packed([(int.from_bytes(body, "little") & 0xFFFFF) ^ 64], 20)[:2] + body[2:]
        elif wrong == "seeds":
            seeds = seeds[::-1]
        else:
            client["update"][2] += 1
        message = verify.msgspec.msgpack.encode([body, seeds])
        replies["4"] = reframed(bytes.fromhex(replies["4"]), body=message).hex()
        with pytest.raises(verify.Mismatch, match="noise of 4"):
            verify.verify(document)
