"""A proof that n shares no factor with phi(n), by whoever made it: a ciphertext then has one plaintext.

Goldberg, Reyzin, Sagga and Baldimtsi, "Efficient Noninteractive Certification of RSA Moduli and Beyond" (Asiacrypt
2019, section 3.2): a hash gives numbers x_i mod n, the maker shows their n-th roots. If a prime f divides both n and
phi(n), the n-th powers are at most one in f of the units. `PublicKey` has no factor below 2**15, so nine roots leave
odds of 2**-135. For keys of fewer than 32 bits, which tests alone have, they are larger.

The proof says nothing of how many prime factors n has, or of their size.
"""

import hashlib

from secagg.errors import PeerMisbehaved
from secagg.primitives.paillier.keys import ROUNDS, PrivateKey, PublicKey
from secagg.spans import span

_SURPLUS = 16
"""Bytes drawn beyond those of n: the numbers are then uniform mod n but for 2**-128."""


@span("Paillier keys and their proofs")
def prove_key(key: PrivateKey, label: bytes) -> bytes:
    """The roots, for `check_key`; `label` says what the key is for."""
    return key.public.write_roots(key.roots(_targets(key.public, label)))


@span("Paillier keys and their proofs")
def check_key(key: PublicKey, proof: bytes, label: bytes) -> None:
    """Return if gcd(n, phi(n)) = 1.

    Raises:
        WireError: the proof is of another size, or a number in it is n or more or no unit.
        PeerMisbehaved: some number is no root.
    """
    roots = key.read_roots(proof, "a Paillier key")
    if roots.modulus.powers(roots, key.n) != _targets(key, label):
        raise PeerMisbehaved("n of this Paillier key is not shown to be coprime to phi(n): the proof of the key fails")


def _targets(key: PublicKey, label: bytes) -> list[int]:
    """The numbers mod n whose roots are shown; n, h and the label decide them."""
    size = key.number_size + _SURPLUS
    statement = b"secagg/paillier/key-proof/1" + len(label).to_bytes(8) + label + key.to_bytes()
    stream = hashlib.shake_256(statement).digest(ROUNDS * size)
    return [int.from_bytes(stream[i : i + size]) % key.n for i in range(0, len(stream), size)]
