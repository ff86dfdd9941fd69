"""Signatures: Ed25519 (RFC 8032, 5.1). A signing key is a party's identity and outlives rounds."""

import base64
import binascii
import re

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from secagg.errors import PeerMisbehaved, StateError
from secagg.primitives import curve25519
from secagg.primitives._bytes import of_length
from secagg.primitives.keyfile import checked_passphrase

KEY_BYTES = curve25519.KEY_BYTES
MAX_FILE = 4096
"""Bytes of the longest key file that is looked at; one that `save_private` wrote has about 300."""
MAX_ITERATIONS = 10_000_000
"""Most iterations of PBKDF2 that a key file may ask for; a few seconds."""

_ENCRYPTED_PEM = re.compile(
    rb"\s*-----BEGIN ENCRYPTED PRIVATE KEY-----\s([A-Za-z0-9+/=\s]+)-----END ENCRYPTED PRIVATE KEY-----\s*"
)
# PrivateKeyInfo encrypted by PBES2 with PBKDF2, up to the length of its salt (RFC 5958, 3; RFC 8018, A.2 and A.4)
_TO_SALT = re.compile(
    rb"\x30(?:\x82..|\x81.|.)\x30.\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d"
    rb"\x30.\x30.\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c\x30.\x04(.)",
    re.DOTALL,
)

_P = 2**255 - 19
_Y_OF_ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_SMALL_ORDER = frozenset({0, 1, _P - 1, _Y_OF_ORDER_8, _P - _Y_OF_ORDER_8})
"""All y of points whose order divides 8 (RFC 8032, 5.1; the curve's cofactor)."""

generate = curve25519.generate


def public_key(private: bytes) -> bytes:
    """The public key, 32 bytes.

    Raises:
        ConfigError: `private` is not 32 bytes.
    """
    return curve25519.public_bytes(_private_key(private))


def sign(private: bytes, message: bytes) -> bytes:
    """The signature of `message`, 64 bytes; deterministic.

    Raises:
        ConfigError: `private` is not 32 bytes.
    """
    return _private_key(private).sign(message)


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Return if `signature` is valid.

    Raises:
        ConfigError: `public` is not 32 bytes.
        PeerMisbehaved: the signature is not this key's for this message, or `public` is not on the curve, or of small
            order: anybody can sign for such a key.
    """
    raw = of_length(public, KEY_BYTES, "Ed25519 public key")
    if int.from_bytes(raw, "little") % 2**255 % _P in _SMALL_ORDER:
        raise PeerMisbehaved("signature does not verify: under a key of small order anybody's does")
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except InvalidSignature:
        raise PeerMisbehaved("signature does not verify: another key, another message or altered") from None


def save_private(private: bytes, passphrase: bytes) -> bytes:
    """The private key as a file: PEM of an encrypted PKCS #8 key (RFC 5958; PBES2 of RFC 8018).

    What the passphrase lacks in entropy, PBKDF2 replaces only in part: choose a long one. The salt comes from the
    system's own source.

    Raises:
        ConfigError: `private` is not 32 bytes, or `passphrase` is empty or no bytes.
    """
    encryption = BestAvailableEncryption(checked_passphrase(passphrase))
    return _private_key(private).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def load_private(pem: bytes, passphrase: bytes) -> bytes:
    """The private key, 32 bytes, in a file that `save_private` (or OpenSSL) wrote.

    Raises:
        ConfigError: `passphrase` is empty or no bytes.
        StateError: another passphrase, a damaged file, a key of another kind, or one that is not encrypted.
    """
    secret = checked_passphrase(passphrase)
    _check_file(pem)
    try:
        key = load_pem_private_key(pem, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise StateError("key file does not open: wrong passphrase, or damaged") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise StateError("key file holds a key of another kind: expected Ed25519")
    return key.private_bytes_raw()


def _check_file(pem: bytes) -> None:
    """Raise StateError unless this is one encrypted key, in a file that opens in bounded time."""
    if not isinstance(pem, bytes) or len(pem) > MAX_FILE:
        raise StateError(f"not a key file: expected at most {MAX_FILE} bytes")
    if b"-----BEGIN PRIVATE KEY-----" in pem:
        raise StateError("key file is not encrypted: make a new key, and protect it with a passphrase")
    framed = _ENCRYPTED_PEM.fullmatch(pem)
    if framed is None:
        raise StateError("not a key file: expected one PEM block of type ENCRYPTED PRIVATE KEY")
    try:
        der = base64.b64decode(b"".join(framed[1].split()), validate=True)
    except binascii.Error:
        raise StateError("not a key file: damaged base64") from None
    if _iterations(der) > MAX_ITERATIONS:
        raise StateError(f"key file asks for too much work: expected at most {MAX_ITERATIONS} iterations of PBKDF2")


def _iterations(der: bytes) -> int:
    """How often PBKDF2 hashes: an INTEGER after the salt. Raises StateError where the key is encrypted otherwise."""
    head = _TO_SALT.match(der)
    if head is None:
        raise StateError("key file is encrypted in another way: expected PBES2 with PBKDF2")
    count = der[head.end() + head[1][0] :]
    return int.from_bytes(count[2 : 2 + count[1]]) if len(count) > 2 else 0


def _private_key(private: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(of_length(private, KEY_BYTES, "Ed25519 private key"))
