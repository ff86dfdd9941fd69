"""Ed25519 gives the RFC's signatures and refuses every other one."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.errors import ConfigError, PeerMisbehaved
from secagg.primitives import signing

CASES = json.loads((Path(__file__).parents[1] / "vectors" / "ed25519_rfc8032.json").read_text())["cases"]
ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_signatures_of_rfc_8032(case):
    private, public, message, signature = (
        bytes.fromhex(case[name]) for name in ("private", "public", "message", "signature")
    )
    assert signing.public_key(private) == public
    assert signing.sign(private, message) == signature
    signing.verify(public, message, signature)


def refuse(public, message, signature):
    with pytest.raises(PeerMisbehaved, match="signature does not verify") as caught:
        signing.verify(public, message, signature)
    assert not caught.value.culprits


@given(st.binary(max_size=50), st.integers(0, 511))
def test_no_altered_signature_message_or_key(message, bit):
    private = b"\x05" * 32
    public, signature = signing.public_key(private), signing.sign(private, message)
    flipped = (int.from_bytes(signature, "little") ^ (1 << bit)).to_bytes(64, "little")
    refuse(public, message, flipped)
    refuse(public, message + b"\0", signature)
    refuse(signing.public_key(b"\x06" * 32), message, signature)


def test_the_second_form_of_a_signature():
    """RFC 8032, 5.1.7: S must be below the group's order, or each signature would have a twin."""
    private = b"\x05" * 32
    signature = signing.sign(private, b"m")
    twin = int.from_bytes(signature[32:], "little") + ORDER
    refuse(signing.public_key(private), b"m", signature[:32] + twin.to_bytes(32, "little"))


@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(64), bytes(65)])
def test_signatures_of_another_length(signature):
    refuse(signing.public_key(b"\x05" * 32), b"m", signature)


def test_a_public_key_that_is_no_point():
    # y = 2: (y**2 - 1) / (d y**2 + 1) is no square
    refuse((2).to_bytes(32, "little"), b"m", bytes(64))


@pytest.mark.parametrize("key", [b"S" * 31, b"S" * 33, "S" * 32])
def test_keys_of_another_length(key):
    for call in (
        lambda: signing.public_key(key),
        lambda: signing.sign(key, b""),
        lambda: signing.verify(key, b"", bytes(64)),
    ):
        with pytest.raises(ConfigError, match=r"Ed25519 (private|public) key: expected 32 bytes") as caught:
            call()
        assert "SSS" not in str(caught.value)


def test_generate_takes_exactly_one_key_from_its_entropy():
    asked = []
    assert signing.generate(lambda n: asked.append(n) or b"\x01" * n) == b"\x01" * 32
    assert asked == [32]
