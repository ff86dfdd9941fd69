"""Signatures: Ed25519 (RFC 8032, 5.1). A signing key is a party's identity and outlives rounds."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from secagg.errors import PeerMisbehaved
from secagg.primitives._bytes import Entropy, draw, of_length

KEY_BYTES = 32
SIGNATURE_BYTES = 64


def generate(entropy: Entropy) -> bytes:
    """A fresh 32-byte private key."""
    return draw(entropy, KEY_BYTES)


def public_key(private: bytes) -> bytes:
    """The public key, 32 bytes.

    Raises:
        ConfigError: `private` is not 32 bytes.
    """
    return _private_key(private).public_key().public_bytes_raw()


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
        PeerMisbehaved: the signature is not this key's for this message, or `public` is not on the curve.
    """
    raw = of_length(public, KEY_BYTES, "Ed25519 public key")
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except InvalidSignature:
        raise PeerMisbehaved("signature does not verify: another key, another message or altered") from None


def _private_key(private: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(of_length(private, KEY_BYTES, "Ed25519 private key"))
