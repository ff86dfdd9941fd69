"""A single holder's proof that it decrypted right: one number for all ciphertexts together.

A ciphertext c of m is (1 + n)**m * r**n mod n**2 for exactly one m and r mod n. For coefficients e_j that a hash of all
ciphertexts and plaintexts gives, the holder shows the r of the product of the c_j**e_j; whoever has n checks

    prod c_j**e_j  =  (1 + n)**(sum e_j m_j) * r**n  mod n**2.

A wrong plaintext passes with odds of 2**-128: then sum e_j (m_j' - m_j) is no 0 mod n, and no r fits.
"""

import hashlib
from collections.abc import Sequence

import gmpy2

from secagg.errors import PeerMisbehaved, WireError
from secagg.primitives.paillier.keys import PrivateKey, PublicKey

COEFFICIENT_BYTES = 16


def prove_opening(key: PrivateKey, ciphertexts: Sequence[int], plaintexts: Sequence[int], label: bytes) -> int:
    """The r in 1..n-1 that `check_opening` takes; `label` says what round it is for."""
    coefficients = _coefficients(key.public, ciphertexts, plaintexts, label)
    return key.root(key.public.modulus.multi_power(ciphertexts, coefficients))


def check_opening(
    key: PublicKey, ciphertexts: Sequence[int], plaintexts: Sequence[int], root: int, label: bytes
) -> None:
    """Return if the plaintexts, in 0..n-1, are those of the ciphertexts, units mod n**2.

    Raises:
        WireError: `root` is not in 1..n-1.
        PeerMisbehaved: some plaintext is not.
    """
    if not 0 < root < key.n:
        raise WireError("proof of decryption: expected a number in 1..n-1")
    coefficients = _coefficients(key, ciphertexts, plaintexts, label)
    found = key.modulus.multi_power(ciphertexts, coefficients)
    total = sum(e * m for e, m in zip(coefficients, plaintexts, strict=True)) % key.n
    claimed = (1 + total * key.n) * gmpy2.powmod(root, key.n, key.n_squared) % key.n_squared
    if found != claimed:
        raise PeerMisbehaved("these are not the plaintexts of the ciphertexts: the proof of decryption fails")


def coefficients_of(digest: bytes, count: int) -> list[int]:
    """`count` numbers of 128 bits, uniform as far as a hash is."""
    stream = hashlib.shake_256(b"secagg/paillier/coefficients/1" + digest).digest(COEFFICIENT_BYTES * count)
    return [int.from_bytes(stream[i : i + COEFFICIENT_BYTES]) for i in range(0, len(stream), COEFFICIENT_BYTES)]


def digest_of(label: bytes, key: PublicKey, *rows: Sequence[int]) -> bytes:
    """SHA-256 of the label, the key and rows of numbers mod n**2, each length before its row."""
    digest = hashlib.sha256(len(label).to_bytes(8) + label + key.to_bytes())
    for row in rows:
        digest.update(len(row).to_bytes(8))
        digest.update(key.write_ciphertexts(row))
    return digest.digest()


def _coefficients(key: PublicKey, ciphertexts: Sequence[int], plaintexts: Sequence[int], label: bytes) -> list[int]:
    return coefficients_of(digest_of(b"opening" + label, key, ciphertexts, plaintexts), len(ciphertexts))
