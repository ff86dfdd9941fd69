"""Paillier's cryptosystem (Eurocrypt 1999), additively homomorphic, usable alone. Needs gmpy2 (extra `paillier`).

key = paillier.generate(2048, os.urandom)          # or paillier.deal(...), for t of m holders
total = key.public.add(key.public.encrypt([1, 2], os.urandom), key.public.encrypt([10, 20], os.urandom))
key.decrypt(total)                                 # [11, 22]

Encryption is the one of Damgard, Jurik and Nielsen (Int. J. Inf. Secur. 9, 2010): (1 + n)**m * (h**n)**s mod n**2, with
s of half the bits of n. Ciphertexts are ordinary Paillier ciphertexts with generator 1 + n, as `phe` makes and reads
them. It withstands a chosen plaintext, not a chosen ciphertext: who may ask for a decryption of what is for the caller.
"""

from secagg.primitives.paillier.key_proof import check_key, prove_key
from secagg.primitives.paillier.keys import PrivateKey, PublicKey, generate
from secagg.primitives.paillier.opening import check_opening, prove_opening
from secagg.primitives.paillier.primes import Progress
from secagg.primitives.paillier.threshold import MAX_HOLDERS, KeyShare, SharedKey, deal

__all__ = [
    "MAX_HOLDERS",
    "KeyShare",
    "PrivateKey",
    "Progress",
    "PublicKey",
    "SharedKey",
    "check_key",
    "check_opening",
    "deal",
    "generate",
    "prove_key",
    "prove_opening",
]
