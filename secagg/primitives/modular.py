"""Arithmetic modulo one odd number, on many values at once.

Every path gives the same integers. Time depends on the values (GMP chooses its algorithms by operand size, and a
window's table is read at the place its digit says), so an exponent that is secret is exposed to whoever can time the
process or share its cache.
"""

import operator
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import gmpy2
from gmpy2 import mpz

from secagg.errors import ConfigError, OutOfRange
from secagg.kernels import _cpu

TABLE_BYTES = 1 << 25
"""Most memory of one base's tables."""


class Modulus:
    """The integers mod an odd n; arguments and results lie in 0..n-1.

    Attributes:
        n: the modulus.
    """

    def __init__(self, n: int) -> None:
        """Take n.

        Raises:
            ConfigError: n is not an odd integer >= 3.
        """
        self.n = _integer(n, "modulus")
        if self.n < 3 or self.n % 2 == 0:
            raise ConfigError("modulus: expected an odd integer >= 3")
        self._n = mpz(self.n)

    def __repr__(self) -> str:
        return f"Modulus(<{self.n.bit_length()} bits>)"

    def powers(self, bases: Sequence[int], exponent: int) -> list[int]:
        """Each base to the power of one exponent >= 0; on as many threads as there are processors.

        Raises:
            OutOfRange: a base is not in 0..n-1, or the exponent is negative.
        """
        values = self._values(bases, "bases")
        power = _exponent(exponent)
        threads = min(_cpu.threads(), len(values))
        if threads < 2:
            return _integers(gmpy2.powmod_base_list(values, power, self._n))
        step = -(-len(values) // threads)
        parts = [values[at : at + step] for at in range(0, len(values), step)]
        with ThreadPoolExecutor(len(parts)) as pool:  # GMP works without the GIL here
            done = pool.map(lambda part: gmpy2.powmod_base_list(part, power, self._n), parts)
            return _integers(chain.from_iterable(done))

    def fixed_base(self, base: int, bits: int, uses: int = 1024) -> "FixedBase":
        """Tables of one base, for exponents below 2**bits.

        Args:
            base: 0..n-1.
            bits: >= 1.
            uses: about how many powers will be asked for; larger tables pay off later.

        Raises:
            OutOfRange: an argument is out of range.
        """
        return FixedBase(self, base, bits, uses)

    def product(self, values: Sequence[int]) -> int:
        """The product of all values, 1 of none.

        Raises:
            OutOfRange: a value is not in 0..n-1.
        """
        level = self._values(values, "values") or [mpz(1)]
        while len(level) > 1:
            odd = level[-1:] if len(level) % 2 else []
            level = [a * b % self._n for a, b in zip(level[::2], level[1::2], strict=False)] + odd
        return int(level[0])

    def products(self, lefts: Sequence[int], rights: Sequence[int]) -> list[int]:
        """lefts[i] * rights[i] mod n.

        Raises:
            ConfigError: another number of lefts than of rights.
            OutOfRange: a value is not in 0..n-1.
        """
        _same_length(lefts, rights, "lefts", "rights")
        pairs = zip(self._values(lefts, "lefts"), self._values(rights, "rights"), strict=True)
        return [int(a * b % self._n) for a, b in pairs]

    def multi_power(self, bases: Sequence[int], exponents: Sequence[int]) -> int:
        """The product of all bases[i] ** exponents[i], 1 of none; exponents >= 0, and public.

        Pippenger's buckets ("On the evaluation of powers and monomials", 1980): each base joins the bucket of its
        digit, so it costs one product for each digit however many bases there are.

        Raises:
            ConfigError: another number of bases than of exponents.
            OutOfRange: a base is not in 0..n-1, or an exponent is negative.
        """
        _same_length(bases, exponents, "bases", "exponents")
        values, powers = self._values(bases, "bases"), [_exponent(exponent) for exponent in exponents]
        bits = max((power.bit_length() for power in powers), default=0)
        width = min(range(1, 17), key=lambda width: -(-bits // width) * (len(values) + (2 << width)))
        total = mpz(1)
        for at in reversed(range(0, bits, width)):
            total = gmpy2.powmod(total, 1 << width, self._n) * self._by_digit(values, powers, at, width) % self._n
        return int(total)

    def _by_digit(self, values: list[mpz], powers: list[int], at: int, width: int) -> mpz:
        """The product of all values, each to the power of `width` bits of its exponent from bit `at` on."""
        buckets = [mpz(1)] * (1 << width)
        for value, power in zip(values, powers, strict=True):
            digit = power >> at & (1 << width) - 1
            buckets[digit] = buckets[digit] * value % self._n
        above = total = mpz(1)
        for bucket in reversed(buckets[1:]):  # bucket d is counted d times
            above = above * bucket % self._n
            total = total * above % self._n
        return total

    def _values(self, values: Sequence[int], name: str) -> list[mpz]:
        """All of `values`, once each is known to be in range."""
        found = [mpz(_integer(value, name)) for value in values]
        if not all(0 <= value < self._n for value in found):
            raise OutOfRange(f"{name}: expected integers in 0..n-1 for a modulus n of {self.n.bit_length()} bits")
        return found


class FixedBase:
    """Powers of one base by windows without squarings.

    Brickell, Gordon, McCurley and Wilson, "Fast exponentiation with precomputation" (Eurocrypt 1992): row i of the
    table holds base ** (d * 2**(i * width)) for every digit d, so a power is the product of one entry of each row.

    Attributes:
        modulus: where it lives.
        bits: exponents are below 2**bits.
    """

    def __init__(self, modulus: Modulus, base: int, bits: int, uses: int) -> None:
        """Make the tables; see `Modulus.fixed_base`."""
        self.modulus = modulus
        self.bits = _integer(bits, "bits")
        if self.bits < 1:
            raise OutOfRange(f"bits: expected an integer >= 1, got {bits}")
        (start,) = modulus._values([base], "base")
        self._width = _width(self.bits, modulus.n.bit_length(), max(1, _integer(uses, "uses")))
        self._rows = list(_rows(start, mpz(modulus.n), self._width, -(-self.bits // self._width)))

    def powers(self, exponents: Sequence[int]) -> list[int]:
        """The base to the power of each exponent.

        Raises:
            OutOfRange: an exponent is not in 0..2**bits-1.
        """
        found = [_integer(exponent, "exponents") for exponent in exponents]
        if not all(exponent >= 0 and exponent.bit_length() <= self.bits for exponent in found):
            raise OutOfRange(f"exponents: expected integers in 0..2**{self.bits}-1")
        return [self._power(exponent) for exponent in found]

    def _power(self, exponent: int) -> int:
        n, digit = mpz(self.modulus.n), (1 << self._width) - 1
        total = mpz(1)
        for row in self._rows:
            total = total * row[exponent & digit] % n
            exponent >>= self._width
        return int(total)


def _rows(start: mpz, n: mpz, width: int, count: int) -> Iterator[list[mpz]]:
    """`count` rows of 2**width entries; each row starts from the next power of the last row's start."""
    for _ in range(count):
        row = [mpz(1)]
        for _ in range(1 << width):
            row.append(row[-1] * start % n)
        start = row.pop()
        yield row


def _width(bits: int, modulus_bits: int, uses: int) -> int:
    """Bits of a digit: fewest products for the tables and `uses` powers, within `TABLE_BYTES`; at least 1."""

    def rows(width: int) -> int:
        return -(-bits // width)

    fit = [width for width in range(2, 17) if (rows(width) << width) * modulus_bits <= 8 * TABLE_BYTES]
    return min([1, *fit], key=lambda width: rows(width) * (uses + (1 << width)))


def _integer(value: int, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise ConfigError(f"{name}: expected integers, got {type(value).__name__}") from None


def _exponent(value: int) -> int:
    exponent = _integer(value, "exponent")
    if exponent < 0:
        raise OutOfRange("exponent: expected an integer >= 0")
    return exponent


def _integers(values: Iterable[mpz]) -> list[int]:
    return [int(value) for value in values]


def _same_length(lefts: Sequence[int], rights: Sequence[int], left: str, right: str) -> None:
    if len(lefts) != len(rights):
        raise ConfigError(f"expected as many {left} as {right}, got {len(lefts)} and {len(rights)}")
