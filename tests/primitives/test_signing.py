"""Ed25519 gives the RFC's signatures and refuses every other one; a key file opens with its passphrase alone."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from secagg.errors import ConfigError, PeerMisbehaved, StateError
from secagg.primitives import signing
from secagg.scheme import Credentials, Roster

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = json.loads((VECTORS / "ed25519_rfc8032.json").read_text())["cases"]
SMALL_ORDER = [bytes.fromhex(key) for key in json.loads((VECTORS / "ed25519_small_order.json").read_text())["keys"]]
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


@pytest.mark.parametrize("key", SMALL_ORDER, ids=bytes.hex)
def test_a_key_of_small_order_signs_nothing(key):
    """[S]B = R + [h]A holds for S = 0 and some R of small order, so anybody can make a signature; OpenSSL takes it."""
    forged = [(b"%d" % number, point + bytes(32)) for number in range(16) for point in SMALL_ORDER]
    taken = [pair for pair in forged if is_taken(Ed25519PublicKey.from_public_bytes(key), *pair)]
    assert taken
    for message, signature in taken:
        refuse(key, message, signature)


def is_taken(key, message, signature):
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def test_no_other_point_has_small_order():
    """On -x^2 + y^2 = 1 + d x^2 y^2 the group of order 8 is cyclic: y of orders 1, 2, 4, and of 8 where y^2 = -x^2."""
    p, ys = signing._P, signing._SMALL_ORDER
    d = -121665 * pow(121666, -1, p) % p
    assert ys >= {0, 1, p - 1}
    eighth = [y for y in ys - {0, 1, p - 1} if (y * y - 1 + y * y * (d * y * y + 1)) % p == 0]
    assert len(eighth) == 2  # each with two signs of x: the four generators
    assert len(ys) == 5


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


# Key files.

PRIVATE = b"SECRET KEY OF 32 BYTES, PLAINTEXT"[:32]
PASSPHRASE = b"correct horse battery"
FILE = signing.save_private(PRIVATE, PASSPHRASE)


def no_file(data, says, passphrase=PASSPHRASE):
    with pytest.raises(StateError, match=says) as caught:
        signing.load_private(data, passphrase)
    assert caught.value.__cause__ is None
    assert not any(word in str(caught.value) for word in ("SECRET", "horse", "battery", "SSS"))


def pem_of(key, encryption=None):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or BestAvailableEncryption(PASSPHRASE))


@given(private=st.binary(min_size=32, max_size=32), passphrase=st.binary(min_size=1, max_size=80))
def test_a_key_file_gives_the_key_back(private, passphrase):
    assert signing.load_private(signing.save_private(private, passphrase), passphrase) == private


def test_a_key_file_is_an_encrypted_pkcs8_key_that_another_reader_opens():
    assert FILE.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    der = base64.b64decode(b"".join(FILE.splitlines()[1:-1]))
    assert PRIVATE not in der
    assert bytes.fromhex("060960864801650304012a") in der  # aes256-CBC-PAD (RFC 8018, B.2.5)
    read = load_pem_private_key(FILE, PASSPHRASE)
    assert isinstance(read, Ed25519PrivateKey)
    assert read.private_bytes_raw() == PRIVATE


def test_two_files_of_one_key_share_nothing():
    assert signing.save_private(PRIVATE, PASSPHRASE) != FILE


@pytest.mark.parametrize("passphrase", [b"correct horse batterz", b"Correct horse battery", PASSPHRASE + b"\n", b"x"])
def test_another_passphrase(passphrase):
    no_file(FILE, "wrong passphrase, or damaged", passphrase)


@pytest.mark.parametrize("passphrase", [b"", "text", None, bytearray(b"horse")])
def test_what_is_no_passphrase(passphrase):
    for call in (lambda: signing.save_private(PRIVATE, passphrase), lambda: signing.load_private(FILE, passphrase)):
        with pytest.raises(ConfigError, match="passphrase: expected 1 or more bytes") as caught:
            call()
        assert "horse" not in str(caught.value)


@pytest.mark.parametrize("key", [b"S" * 31, b"S" * 33, "S" * 32])
def test_what_is_no_key_is_not_saved(key):
    with pytest.raises(ConfigError, match="Ed25519 private key: expected 32 bytes") as caught:
        signing.save_private(key, PASSPHRASE)
    assert "SSS" not in str(caught.value)


def test_a_file_that_is_not_encrypted():
    no_file(pem_of(Ed25519PrivateKey.from_private_bytes(PRIVATE), NoEncryption()), "is not encrypted")


@pytest.mark.parametrize("key", [X25519PrivateKey.from_private_bytes(PRIVATE), generate_private_key(SECP256R1())])
def test_a_key_of_another_kind(key):
    no_file(pem_of(key), "a key of another kind: expected Ed25519")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a key file: expected one PEM block"),
        (b"garbage", "not a key file: expected one PEM block"),
        (FILE[:-20], "not a key file: expected one PEM block"),
        (FILE + FILE, "not a key file: expected one PEM block"),
        (FILE.replace(b"ENCRYPTED PRIVATE", b"PUBLIC"), "not a key file: expected one PEM block"),
        (b"\n" * 5000, "not a key file: expected at most 4096 bytes"),
        (FILE.decode(), "not a key file: expected at most 4096 bytes"),
        (FILE.replace(b"\nM", b"\n", 1), "damaged base64"),
        (FILE.replace(b"\nMIG", b"\nMIA", 1), "expected PBES2 with PBKDF2|wrong passphrase, or damaged"),
    ],
)
def test_what_is_no_key_file(data, says):
    no_file(data, says)


def with_iterations(count):
    """FILE asking for another number of iterations of PBKDF2, with every length mended."""
    der = base64.b64decode(b"".join(FILE.splitlines()[1:-1]))
    assert der.count(b"\x02\x02\x08\x00") == 1
    number = count.to_bytes(4)
    der = bytearray(der.replace(b"\x02\x02\x08\x00", b"\x02\x04" + number))
    for at in (2, 4, 17, 19, 32):  # the five sequences around it
        der[at] += 2
    text = base64.encodebytes(bytes(der))
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + text + b"-----END ENCRYPTED PRIVATE KEY-----\n"


def test_a_file_may_not_ask_for_hours_of_work():
    no_file(with_iterations(10_000_001), "at most 10000000 iterations")
    no_file(with_iterations(2**31 - 1), "at most 10000000 iterations")


@settings(max_examples=200)
@given(st.integers(0, len(FILE) - 1), st.integers(1, 255), st.integers(0, len(FILE)))
def test_damaged_files_hold_some_key_or_do_not_open(at, flip, length):
    damaged = bytearray(FILE[:length] + FILE[length + 1 :])
    damaged[at % len(damaged)] ^= flip
    try:
        key = signing.load_private(bytes(damaged), PASSPHRASE)
    except StateError:
        return
    assert len(key) == 32


@pytest.mark.parametrize("at", range(-48, -32))
def test_a_changed_file_may_open_as_another_key(at):
    """CBC, no tag: a change in the second of four blocks garbles half of the key and leaves the format sound.

    What a file holds is therefore checked against the roster before it is used.
    """
    der = bytearray(base64.b64decode(b"".join(FILE.splitlines()[1:-1])))
    der[at] ^= 1
    other = signing.load_private(pem_block(bytes(der)), PASSPHRASE)
    assert other != PRIVATE
    roster = Roster({"a": signing.public_key(PRIVATE)})
    Credentials(PRIVATE, roster).check_identity("a")
    with pytest.raises(ConfigError, match="identity"):
        Credentials(other, roster).check_identity("a")


def pem_block(der):
    label = b"ENCRYPTED PRIVATE KEY-----\n"
    return b"-----BEGIN " + label + base64.encodebytes(der) + b"-----END " + label


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
def test_openssl_makes_and_reads_key_files(tmp_path):
    def openssl(*arguments, data=None):
        return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout

    made = openssl("genpkey", "-algorithm", "ed25519", "-aes-256-cbc", "-pass", "pass:correct horse")
    private = signing.load_private(made, b"correct horse")
    public = openssl("pkey", "-pubout", "-outform", "DER", "-passin", "pass:correct horse", data=made)
    assert public[-32:] == signing.public_key(private)
    public = openssl("pkey", "-pubout", "-outform", "DER", "-passin", f"pass:{PASSPHRASE.decode()}", data=FILE)
    assert public[-32:] == signing.public_key(PRIVATE)
    scrypt = openssl(
        "pkcs8", "-topk8", "-scrypt", "-passin", f"pass:{PASSPHRASE.decode()}", "-passout", "pass:x", data=FILE
    )
    no_file(scrypt, "encrypted in another way: expected PBES2 with PBKDF2", b"x")
