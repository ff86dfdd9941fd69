"""Authenticated encryption: AES-256-GCM (NIST SP 800-38D), for messages to one peer and for saved state."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from secagg.errors import PeerMisbehaved, StateError
from secagg.primitives._bytes import of_length
from secagg.primitives.entropy import Entropy, draw
from secagg.spans import span

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
"""A sealed message is this much longer than its plaintext."""

_ONLY_NONCE = bytes(NONCE_BYTES)


@span("sealing and opening")
def seal(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """Encrypt and authenticate under a single-use key; 16 bytes longer than `plaintext`.

    The nonce is fixed to zero. GCM demands that no pair of key and nonce is used twice: a key derived for one
    message of one sender in one round keeps that, and a second `seal` with it breaks both messages.
    `associated` is authenticated, not sent.

    Raises:
        ConfigError: `key` is not 32 bytes.
    """
    return _cipher(key).encrypt(_ONLY_NONCE, plaintext, associated)


@span("sealing and opening")
def open_sealed(key: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    """The plaintext of `seal`.

    Raises:
        ConfigError: `key` is not 32 bytes.
        PeerMisbehaved: it was not made with this key and `associated`, or was altered.
    """
    try:
        return _cipher(key).decrypt(_ONLY_NONCE, ciphertext, associated)
    except InvalidTag:
        raise PeerMisbehaved("sealed message does not open: wrong key, wrong context or altered") from None


def lock(key: bytes, plaintext: bytes, associated: bytes, entropy: Entropy) -> bytes:
    """Encrypt and authenticate saved state under a key that lasts: random 96-bit nonce, ciphertext, tag.

    SP 800-38D 8.3 allows 2**32 random nonces to a key. 28 bytes longer than `plaintext`.

    Raises:
        ConfigError: `key` is not 32 bytes, or `entropy` fails.
    """
    nonce = draw(entropy, NONCE_BYTES)
    return nonce + _cipher(key).encrypt(nonce, plaintext, associated)


def unlock(key: bytes, locked: bytes, associated: bytes) -> bytes:
    """The plaintext of `lock`.

    Raises:
        ConfigError: `key` is not 32 bytes.
        StateError: it was not made with this key and `associated`, or was altered.
    """
    cipher = _cipher(key)
    if len(locked) < NONCE_BYTES + TAG_BYTES:
        raise StateError(f"saved state is {len(locked)} bytes long, too short for a nonce and a tag")
    try:
        return cipher.decrypt(locked[:NONCE_BYTES], locked[NONCE_BYTES:], associated)
    except InvalidTag:
        raise StateError("saved state does not open: wrong key, wrong context or altered") from None


def _cipher(key: bytes) -> AESGCM:
    return AESGCM(of_length(key, KEY_BYTES, "AES-256 key"))
