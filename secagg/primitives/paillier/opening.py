"""A single holder's proof that it decrypted right: nine numbers for all ciphertexts together.

Where gcd(n, phi(n)) = 1 (`key_proof`), a ciphertext c of m is (1 + n)**m * r**n mod n**2 for exactly one m and r mod n.
For coefficients e_j of 16 bits that a hash of all ciphertexts and plaintexts gives, the holder shows the r of the
product of the c_j**e_j; whoever has n checks

    prod c_j**e_j  =  (1 + n)**(sum e_j m_j) * r**n  mod n**2.

A wrong plaintext m_j' is wrong modulo some prime factor f of n, and passes only if f divides sum e_j (m_j' - m_j): of
2**16 values of e_j at most two do it, since f > 2**15 (`PublicKey`). Nine such batches leave odds of 2**-135, whatever
factors the holder has hidden in n. One batch with longer coefficients would leave 1 / f.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from secagg.errors import PeerMisbehaved
from secagg.primitives.paillier.keys import ROUNDS, PrivateKey, PublicKey

COEFFICIENT_BYTES = 16
"""Of a single batch, for keys whose factors are known to be large."""


def prove_opening(key: PrivateKey, ciphertexts: Sequence[int], plaintexts: Sequence[int], label: bytes) -> bytes:
    """The r of each batch, for `check_opening`; `label` says what round it is for."""
    batches = _batches(key.public, ciphertexts, plaintexts, label)
    products = [key.public.modulus.multi_power(ciphertexts, batch) for batch in batches]
    return key.public.write_roots(key.roots(products))


def check_opening(
    key: PublicKey, ciphertexts: Sequence[int], plaintexts: Sequence[int], proof: bytes, label: bytes
) -> None:
    """Return if the plaintexts, in 0..n-1, are those of the ciphertexts, units mod n**2.

    Args:
        key: known to have gcd(n, phi(n)) = 1, by `check_key` or from whom dealt it.

    Raises:
        WireError: the proof is of another size, or a number in it is n or more or no unit.
        PeerMisbehaved: some plaintext is not.
    """
    powers = key.modulus.powers(key.read_roots(proof, "decryption"), key.n)
    batches = _batches(key, ciphertexts, plaintexts, label)
    for batch, power in zip(batches, powers, strict=True):
        total = sum(e * m for e, m in zip(batch, plaintexts, strict=True)) % key.n
        if key.modulus.multi_power(ciphertexts, batch) != (1 + total * key.n) * power % key.n_squared:
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


def _batches(key: PublicKey, ciphertexts: Sequence[int], plaintexts: Sequence[int], label: bytes) -> list[list[int]]:
    """ROUNDS rows of one coefficient of 16 bits a ciphertext."""
    digest = digest_of(b"opening" + label, key, ciphertexts, plaintexts)
    stream = hashlib.shake_256(b"secagg/paillier/opening/1" + digest).digest(2 * ROUNDS * len(ciphertexts))
    rows: list[list[int]] = np.frombuffer(stream, ">u2").reshape(ROUNDS, len(ciphertexts)).tolist()
    return rows
