"""A key shared among m holders, any t of whom decrypt together, and who can each show that they did their part right.

Damgard, Jurik and Nielsen 2010, section 4 (their s is 1 here), after Shoup, "Practical Threshold Signatures"
(Eurocrypt 2000). With p = 2p' + 1 and q = 2q' + 1 safe primes, d = 0 mod p'q' and 1 mod n is the constant term of a
polynomial f of degree t - 1 mod n*p'*q'; holder i has f(i). Delta = m! makes Lagrange's coefficients integers, so that
nobody needs the secret n*p'*q'.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import factorial

import gmpy2

from secagg.arguments import checked, whole
from secagg.errors import ConfigError, PeerMisbehaved, WireError
from secagg.primitives.entropy import Entropy, draw
from secagg.primitives.key_sizes import check_key_bits
from secagg.primitives.paillier.keys import PublicKey, blinding_element, random_unit
from secagg.primitives.paillier.opening import coefficients_of, digest_of
from secagg.primitives.paillier.primes import Progress, distinct_primes, silent

MAX_HOLDERS = 32
CHALLENGE_BYTES = 16
_STATISTICAL_BITS = 128


@dataclass(frozen=True)
class KeyShare:
    """One holder's secret.

    Attributes:
        holder: 1..m.
        exponent: f(holder).
    """

    holder: int
    exponent: int = field(repr=False)


class SharedKey:
    """The public part of a shared key.

    Args:
        public: what encrypts.
        threshold: t, holders that decrypt together.
        base: v, a square mod n**2.
        verifiers: v**(Delta * f(i)) mod n**2 of the holders i = 1..m.

    Raises:
        OutOfRange, WireError: numbers that no `deal` gives.
    """

    def __init__(self, public: PublicKey, threshold: int, base: int, verifiers: Sequence[int]) -> None:
        self.public = public
        self.threshold = threshold
        self.base = base
        self.verifiers = tuple(verifiers)
        check_sharing(self.holders, threshold)
        for number in (base, *verifiers):
            if not 0 < number < public.n_squared:
                raise WireError("shared Paillier key: expected numbers mod n**2")
        public.check_units((base, *verifiers), "verification value")

    def __repr__(self) -> str:
        return f"SharedKey(bits={self.public.bits}, {self.threshold} of {self.holders})"

    @property
    def holders(self) -> int:
        """m."""
        return len(self.verifiers)

    @cached_property
    def delta(self) -> int:
        """m!"""
        return factorial(self.holders)

    @property
    def proof_size(self) -> int:
        """Bytes of a `partial_decrypt` proof."""
        return CHALLENGE_BYTES + self._answer_size

    @property
    def _mask_bits(self) -> int:
        """Bits of the nonce that hides Delta * f(i) times a challenge."""
        return self.delta.bit_length() + 2 * self.public.bits + 8 * CHALLENGE_BYTES + _STATISTICAL_BITS

    @property
    def _answer_size(self) -> int:
        return self._mask_bits // 8 + 1

    def partial_decrypt(
        self, share: KeyShare, ciphertexts: Sequence[int], entropy: Entropy, label: bytes
    ) -> tuple[list[int], bytes]:
        """c**(2 * Delta * f(i)) mod n**2 of each ciphertext c, a unit, and one proof for all of them.

        The proof shows that log_v of the holder's verification value is log of C**4 to P**2, where C and P are the
        products of the ciphertexts and of the partial decryptions, each to a coefficient of 128 bits that a hash of all
        of them and of `label` gives. Among squares mod n**2 there are no small orders to hide in, so a single wrong
        partial decryption passes with odds of 2**-128.
        """
        exponent = self.delta * share.exponent
        partials = self.public.modulus.powers(ciphertexts, 2 * exponent)
        digest, base, power = self._batch(share.holder, ciphertexts, partials, label)
        nonce = int.from_bytes(draw(entropy, self._mask_bits // 8))
        commitments = [self.public.modulus.powers([element], nonce)[0] for element in (base, self.base)]
        challenge = _challenge(digest, self.public, base, power, commitments)
        answer = nonce + challenge * exponent
        return partials, challenge.to_bytes(CHALLENGE_BYTES) + answer.to_bytes(self._answer_size)

    def check_partial(
        self, holder: int, ciphertexts: Sequence[int], partials: Sequence[int], proof: bytes, label: bytes
    ) -> None:
        """Return if `partials`, units mod n**2, are what `partial_decrypt` gives for this holder.

        Raises:
            WireError: a proof of another size.
            PeerMisbehaved: they are not.
        """
        if len(proof) != self.proof_size:
            raise WireError(f"proof of partial decryption of {len(proof)} bytes: expected {self.proof_size}")
        challenge, answer = int.from_bytes(proof[:CHALLENGE_BYTES]), int.from_bytes(proof[CHALLENGE_BYTES:])
        digest, base, power = self._batch(holder, ciphertexts, partials, label)
        n_squared = self.public.n_squared
        commitments = [
            int(gmpy2.powmod(element, answer, n_squared) * gmpy2.powmod(image, -challenge, n_squared) % n_squared)
            for element, image in ((base, power), (self.base, self.verifiers[holder - 1]))
        ]
        if _challenge(digest, self.public, base, power, commitments) != challenge:
            raise PeerMisbehaved("not the partial decryptions of these ciphertexts: the proof fails")

    def check_share(self, share: KeyShare) -> None:
        """Raise WireError for a share that is not the one which its verification value was made from."""
        found = gmpy2.powmod_sec(self.base, self.delta * share.exponent or 1, self.public.n_squared)
        if not share.exponent or found != self.verifiers[share.holder - 1]:
            raise WireError(f"share {share.holder} of a Paillier key fails its verification value")

    def combine(self, partials: Mapping[int, Sequence[int]]) -> list[int]:
        """The plaintexts, in 0..n-1, from exactly t holders' {holder: partial decryptions}.

        Raises:
            ConfigError: fewer or more than t.
            PeerMisbehaved: what comes out is no plaintext: some partial decryption is wrong.
        """
        if len(partials) != self.threshold:
            raise ConfigError(f"combine: expected the partial decryptions of {self.threshold} holders")
        n, n_squared = self.public.n, self.public.n_squared
        count = len(next(iter(partials.values())))
        above, below = [1] * count, [1] * count
        for holder, row in partials.items():
            weight = 2 * self._weight_at_zero(holder, list(partials))
            powers = self.public.modulus.powers(row, abs(weight))
            if weight > 0:
                above = self.public.modulus.products(above, powers)
            else:
                below = self.public.modulus.products(below, powers)
        inverse = pow(4 * self.delta * self.delta, -1, n)
        plaintexts = []
        for numerator, denominator in zip(above, below, strict=True):
            try:
                power = int(numerator * gmpy2.invert(denominator, n_squared) % n_squared)
            except ZeroDivisionError:  # a multiple of a prime factor, such as 0
                power = 0
            if power % n != 1:
                raise PeerMisbehaved("partial decryptions do not fit together: no plaintext comes out")
            plaintexts.append((power - 1) // n * inverse % n)
        return plaintexts

    def _weight_at_zero(self, holder: int, holders: Sequence[int]) -> int:
        """Delta times Lagrange's coefficient at 0: an integer."""
        above, below = self.delta, 1
        for other in holders:
            if other != holder:
                above *= -other
                below *= holder - other
        return above // below

    def _batch(
        self, holder: int, ciphertexts: Sequence[int], partials: Sequence[int], label: bytes
    ) -> tuple[bytes, int, int]:
        """Digest of all that is proved, C**4 and P**2."""
        statement = b"partial" + holder.to_bytes(2) + label
        digest = digest_of(statement, self.public, (self.base, self.verifiers[holder - 1]), ciphertexts, partials)
        coefficients = coefficients_of(digest, len(ciphertexts))
        product = self.public.modulus.multi_power
        c, p = product(ciphertexts, coefficients), product(partials, coefficients)
        n_squared = self.public.n_squared
        return digest, pow(c, 4, n_squared), pow(p, 2, n_squared)


def deal(
    bits: int, holders: int, threshold: int, entropy: Entropy, progress: Progress = silent
) -> tuple[SharedKey, list[KeyShare]]:
    """A fresh key, shared: 2 safe primes of bits / 2 bits. Whoever runs this sees the key and must forget it.

    Args:
        bits: of n.
        holders: m, 2..32.
        threshold: t, 1..m.
        entropy: source of all secrets.
        progress: called while safe primes are sought.

    Raises:
        OutOfRange: naming the parameter and its range.
    """
    check_key_bits(bits)
    check_sharing(holders, threshold)
    p, q = distinct_primes(bits // 2, safe=True, entropy=entropy, progress=progress)
    return deal_factors(p, q, holders, threshold, entropy)


def deal_factors(p: int, q: int, holders: int, threshold: int, entropy: Entropy) -> tuple[SharedKey, list[KeyShare]]:
    """`deal` with safe primes that are there already."""
    n, order = p * q, (p - 1) // 2 * ((q - 1) // 2)
    constant = order * pow(order, -1, n)  # 0 mod p'q', 1 mod n
    modulus = n * order
    size = (modulus.bit_length() + 7) // 8 + _STATISTICAL_BITS // 8
    drawn = draw(entropy, size * (threshold - 1))
    polynomial = [constant, *(int.from_bytes(drawn[i : i + size]) % modulus for i in range(0, len(drawn), size))]
    shares = [
        KeyShare(i, sum(coefficient * i**power for power, coefficient in enumerate(polynomial)) % modulus)
        for i in range(1, holders + 1)
    ]
    public = PublicKey(n, blinding_element(n, entropy))
    base = pow(random_unit(public.n_squared, entropy), 2, public.n_squared)
    delta = factorial(holders)
    verifiers = [int(gmpy2.powmod_sec(base, delta * share.exponent, public.n_squared)) for share in shares]
    return SharedKey(public, threshold, base, verifiers), shares


def check_sharing(holders: int, threshold: int) -> None:
    """Raise OutOfRange unless t of m holders can be."""
    checked("holders", holders, whole(2, MAX_HOLDERS))
    checked("threshold", threshold, whole(1, holders, ", the number of holders"))


def _challenge(digest: bytes, key: PublicKey, base: int, power: int, commitments: Sequence[int]) -> int:
    """128 bits of a hash of the whole proof so far (Fiat and Shamir)."""
    numbers = key.write_ciphertexts([base, power, *commitments])
    return int.from_bytes(hashlib.sha256(b"secagg/paillier/challenge/1" + digest + numbers).digest()[:CHALLENGE_BYTES])
