"""What the keys of X25519 and Ed25519 have in common: 32 bytes each, and any 32 of them are a private one."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from secagg.primitives.entropy import Entropy, draw

KEY_BYTES = 32


def generate(entropy: Entropy) -> bytes:
    """A fresh private key, 32 bytes."""
    return draw(entropy, KEY_BYTES)


def public_bytes(private: X25519PrivateKey | Ed25519PrivateKey) -> bytes:
    """The public key, 32 bytes."""
    return private.public_key().public_bytes_raw()
