"""The public key, which encrypts and adds, and the private key of a single holder."""

from collections.abc import Sequence
from functools import cache, cached_property, lru_cache
from math import gcd

import gmpy2

from secagg.errors import ConfigError, OutOfRange, WireError
from secagg.primitives.entropy import Entropy, draw
from secagg.primitives.key_sizes import check_key_bits
from secagg.primitives.modular import FixedBase, Modulus, Residues
from secagg.primitives.paillier.primes import Progress, distinct_primes, silent
from secagg.spans import span

SMALL = 1 << 15
"""No factor of n is below it."""
ROUNDS = 9
"""Of a proof, each of which a false statement survives with odds of 1 / SMALL at most: 2**-135 together."""
FEW = 8
"""Encryptions that are sooner done one by one than a table of powers is made."""


class PublicKey:
    """n, and the h whose powers blind.

    Args:
        n: product of two primes of equal size; it has `bits` bits, an even number.
        h: minus a square mod n (Damgard, Jurik and Nielsen 2010, 4.1); its Jacobi symbol is 1.

    Raises:
        OutOfRange: n is too short (see `key_sizes`) or too long.
        WireError: n is even, prime, a power or has a factor below 2**15; h is not in 2..n-2, shares a factor with n
            or has the Jacobi symbol -1. More is not seen from n: that it has no square factor is what `check_key`
            shows, that it has no third factor nothing here.
    """

    def __init__(self, n: int, h: int) -> None:
        self.n = n
        self.h = h
        self.bits = n.bit_length()
        check_key_bits(self.bits)
        if n % 2 == 0:
            raise WireError("Paillier key: n is even")
        if gmpy2.is_prime(n) or gmpy2.is_power(n) or gmpy2.gcd(n, _product_of_primes(_least_factor(self.bits))) != 1:
            raise WireError("Paillier key: n is no product of two primes of equal size")
        if not 1 < h < n - 1 or gcd(h, n) != 1 or gmpy2.jacobi(h, n) != 1:
            raise WireError("Paillier key: h must be a unit mod n with the Jacobi symbol 1, and neither 1 nor -1")
        self.n_squared = n * n
        self._table: FixedBase | None = None  # powers of the blinding base
        self._uses = 0  # that the table was made for

    def __repr__(self) -> str:
        return f"PublicKey(bits={self.bits})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and (self.n, self.h) == (other.n, other.h)

    def __hash__(self) -> int:
        return hash((self.n, self.h))

    @property
    def number_size(self) -> int:
        """Bytes of a number mod n."""
        return (self.bits + 7) // 8

    @property
    def ciphertext_size(self) -> int:
        """Bytes of a ciphertext, a number mod n**2."""
        return (2 * self.bits + 7) // 8

    @property
    def exponent_bytes(self) -> int:
        """Bytes of the secret exponent of h**n: half the bits of n."""
        return (self.bits // 2 + 7) // 8

    def to_bytes(self) -> bytes:
        """n and h, big-endian, `number_size` bytes each."""
        return self.n.to_bytes(self.number_size) + self.h.to_bytes(self.number_size)

    @classmethod
    def from_bytes(cls, data: bytes) -> "PublicKey":
        """The key that `to_bytes` wrote; the last few of them keep their tables of powers.

        Raises:
            WireError: it is none, or too short to be secure.
        """
        return _read(bytes(data))

    @cached_property
    def modulus(self) -> Modulus:
        """Arithmetic mod n**2."""
        return Modulus.square(self.n)

    @cached_property
    def blinding_base(self) -> int:
        """h**n mod n**2, computed here rather than believed."""
        return int(gmpy2.powmod(self.h, self.n, self.n_squared))

    @span("Paillier encryption")
    def encrypt(self, plaintexts: Sequence[int], entropy: Entropy) -> list[int]:
        """One fresh ciphertext each, in 1..n**2-1. Raises OutOfRange for a plaintext outside 0..n-1."""
        size = self.exponent_bytes
        drawn = draw(entropy, size * len(plaintexts))
        exponents = [int.from_bytes(drawn[i : i + size]) for i in range(0, len(drawn), size)]
        return self.encrypt_with(plaintexts, exponents)

    def encrypt_with(self, plaintexts: Sequence[int], exponents: Sequence[int]) -> list[int]:
        """(1 + n)**m * (h**n)**s mod n**2 for each m of `plaintexts` and s of `exponents`, 0 <= s < 2**(bits/2).

        Whoever chooses the exponents himself, or uses one twice, has no encryption: `encrypt` draws them.
        """
        for plaintext in plaintexts:
            if not 0 <= plaintext < self.n:
                raise OutOfRange("plaintext: expected a number in 0..n-1")
        return self.modulus.products([1 + m * self.n for m in plaintexts], self._blinds(exponents))

    def _blinds(self, exponents: Sequence[int]) -> list[int]:
        """(h**n)**s for each s, from a table unless there are few; a table grows with its use."""
        if self._table is None and len(exponents) < FEW:
            return [int(gmpy2.powmod_sec(self.blinding_base, s, self.n_squared)) if s else 1 for s in exponents]
        if self._table is None or len(exponents) > 4 * self._uses:
            self._uses = len(exponents)
            self._table = self.modulus.fixed_base(self.blinding_base, 8 * self.exponent_bytes, self._uses)
        return self._table.powers(exponents)

    def add(self, lefts: Sequence[int], rights: Sequence[int]) -> list[int]:
        """Ciphertexts of the sums mod n of two rows of plaintexts."""
        return self.modulus.products(lefts, rights)

    @span("sums of Paillier ciphertexts")
    def read_ciphertexts(self, data: bytes, count: int) -> Residues:
        """`count` ciphertexts, big-endian, `ciphertext_size` bytes each; each is known to be a unit mod n**2.

        Raises:
            WireError: another length, or a number that no encryption gives; names the first one's place.
        """
        return self._read_units(self.modulus, data, count, "ciphertext")

    def write_ciphertexts(self, values: Sequence[int]) -> bytes:
        """The inverse of `read_ciphertexts`."""
        size = self.ciphertext_size
        return b"".join(value.to_bytes(size) for value in values)

    def read_roots(self, data: bytes, what: str) -> Residues:
        """The numbers of a proof, `ROUNDS` units mod n of `number_size` bytes. Raises WireError."""
        return self._read_units(Modulus(self.n), data, ROUNDS, f"root of the proof of {what}")

    def write_roots(self, roots: Sequence[int]) -> bytes:
        """The inverse of `read_roots`."""
        return b"".join(root.to_bytes(self.number_size) for root in roots)

    def _read_units(self, modulus: Modulus, data: bytes, count: int, what: str) -> Residues:
        if len(data) != count * modulus.size:
            raise WireError(f"{what}s of {len(data)} bytes: expected {count} of {modulus.size}")
        try:
            values = modulus.read(data, what)
        except OutOfRange as error:
            raise WireError(str(error)) from None
        if gcd(values.product(), self.n) != 1:
            self.check_units(values, what)
        return values

    def check_units(self, values: Sequence[int], what: str) -> None:
        """Raise WireError naming the first that shares a factor with n: one gcd for all, bisected only on failure."""
        if self._are_units(values):
            return
        start, end = 0, len(values)
        while end - start > 1:
            middle = (start + end) // 2
            start, end = (middle, end) if self._are_units(values[start:middle]) else (start, middle)
        raise WireError(f"{what} {start} is no unit mod n")

    def _are_units(self, values: Sequence[int]) -> bool:
        n, product = gmpy2.mpz(self.n), gmpy2.mpz(1)
        for value in values:
            product = product * (value % n) % n
        return bool(gmpy2.gcd(product, n) == 1)


class PrivateKey:
    """The factors of n, for a single holder.

    Args:
        p, q: distinct primes of equal size.
        h: see `PublicKey`.

    Raises ConfigError for factors that are no key's.
    """

    def __init__(self, p: int, q: int, h: int) -> None:
        self._p, self._q = p, q
        if p == q or p < 3 or q < 3 or gcd(p * q, (p - 1) * (q - 1)) != 1:
            raise ConfigError("Paillier key: p and q are not two primes of equal size")
        self.public = PublicKey(p * q, h)

    def __repr__(self) -> str:
        return f"PrivateKey(<{(self._p * self._q).bit_length()} bits>)"

    @property
    def factors(self) -> tuple[int, int]:
        """The secret."""
        return self._p, self._q

    def decrypt(self, ciphertexts: Sequence[int]) -> list[int]:
        """The plaintexts, in 0..n-1, of units mod n**2, by the Chinese remainder theorem (Paillier 1999, 7)."""
        halves = []
        for prime in self.factors:
            square = prime * prime
            powers = Modulus.square(prime).powers([c % square for c in ciphertexts], prime - 1)
            # L(g**(p-1) mod p**2) with g = 1 + n is (p - 1) * q mod p
            inverse = pow((prime - 1) * (self.public.n // prime), -1, prime)
            halves.append([(power - 1) // prime * inverse % prime for power in powers])
        return self._joined(*halves)

    def roots(self, numbers: Sequence[int]) -> list[int]:
        """The r in 1..n-1 with r**n = x mod n for each unit x; if x is a ciphertext of 0, also mod n**2."""
        n = self.public.n
        return self._joined(
            *(Modulus(prime).powers([x % prime for x in numbers], pow(n, -1, prime - 1)) for prime in self.factors)
        )

    def _joined(self, mod_p: Sequence[int], mod_q: Sequence[int]) -> list[int]:
        """The numbers mod n that are these mod p and mod q."""
        inverse = pow(self._p, -1, self._q)
        return [of_p + self._p * ((of_q - of_p) * inverse % self._q) for of_p, of_q in zip(mod_p, mod_q, strict=True)]


@span("Paillier keys and their proofs")
def generate(bits: int, entropy: Entropy, progress: Progress = silent) -> PrivateKey:
    """A fresh key of a single holder; 0.1 seconds or so at 2048 bits.

    Raises:
        OutOfRange: fewer bits than `key_sizes` allows.
    """
    check_key_bits(bits)
    p, q = distinct_primes(bits // 2, safe=False, entropy=entropy, progress=progress)
    return PrivateKey(p, q, blinding_element(p * q, entropy))


def blinding_element(n: int, entropy: Entropy) -> int:
    """h = -x**2 mod n for a random unit x (Damgard, Jurik and Nielsen 2010, 4.1)."""
    x = random_unit(n, entropy)
    return -x * x % n


def random_unit(n: int, entropy: Entropy) -> int:
    """Uniform among the units mod n but for 2**-128."""
    while True:
        x = int.from_bytes(draw(entropy, (n.bit_length() + 7) // 8 + 16)) % n
        if gcd(x, n) == 1:
            return x


def _least_factor(bits: int) -> int:
    """What the factors of n are not below: SMALL, or less for keys as short as those of tests."""
    return min(SMALL, 1 << (bits // 2 - 1))


@cache
def _product_of_primes(bound: int) -> gmpy2.mpz:
    """Of all below the bound."""
    return gmpy2.primorial(bound - 1)


@lru_cache(maxsize=4)
def _read(data: bytes) -> PublicKey:
    half = len(data) // 2
    try:
        key = PublicKey(int.from_bytes(data[:half]), int.from_bytes(data[half:]))
    except OutOfRange as error:
        raise WireError(f"Paillier key: {error}") from None
    if len(data) != 2 * key.number_size:
        raise WireError(f"Paillier key of {len(data)} bytes: expected {2 * key.number_size}")
    return key
