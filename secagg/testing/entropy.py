"""Entropy that repeats itself, for tests that must."""

import hashlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class SeededEntropy:
    """The AES-256-CTR keystream of SHA-256(seed), as an `entropy` callable. Never for real parties.

    Args:
        seed: a number or bytes; equal seeds give equal bytes in equal calls.
    """

    def __init__(self, seed: int | bytes) -> None:
        text = seed if isinstance(seed, bytes) else str(seed).encode()
        key = hashlib.sha256(b"secagg.testing/" + text).digest()
        self._stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def __call__(self, n: int) -> bytes:
        """The next n bytes."""
        return self._stream.update(bytes(n))
