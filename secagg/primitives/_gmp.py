"""Arithmetic mod n with GMP's big integers, one by one: runs anywhere, and exposes secrets to a stopwatch."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import gmpy2
from gmpy2 import mpz

from secagg.kernels import _cpu


class Gmp:
    """Numbers mod n. All values lie in 0..n-1, which the caller has checked."""

    scan = 0.0
    """What reading a row of a table costs for each entry, in products."""

    def __init__(self, n: int) -> None:
        """Take n >= 1."""
        self.n = mpz(n)
        self.entry_bytes = (n.bit_length() + 7) // 8

    def powers(self, values: Sequence[int], exponent: int) -> list[int]:
        """Each value to the power of one exponent; GMP works without the GIL here."""
        step = max(1, -(-len(values) // _cpu.threads()))
        parts = [list(values[at : at + step]) for at in range(0, len(values), step)]
        if len(parts) < 2:
            return [int(power) for part in parts for power in gmpy2.powmod_base_list(part, exponent, self.n)]
        with ThreadPoolExecutor(len(parts)) as pool:
            done = pool.map(lambda part: gmpy2.powmod_base_list(part, exponent, self.n), parts)
            return [int(power) for power in chain.from_iterable(done)]

    def products(self, lefts: Sequence[int], rights: Sequence[int]) -> list[int]:
        """lefts[i] * rights[i]."""
        return [int(mpz(left) * right % self.n) for left, right in zip(lefts, rights, strict=True)]

    def read(self, data: bytes) -> tuple[list[mpz], int | None]:
        """Big-endian numbers of `entry_bytes`, and the place of the first that is not below n."""
        size = self.entry_bytes
        numbers = [mpz(int.from_bytes(data[at : at + size])) for at in range(0, len(data), size)]
        return numbers, next((place for place, number in enumerate(numbers) if number >= self.n), None)

    def product(self, numbers: Sequence[mpz]) -> int:
        """The product of all that were read, 1 of none."""
        total = mpz(1)
        for number in numbers:
            total = total * number % self.n
        return int(total)

    def accumulator(self, count: int) -> "Accumulator":
        """`count` running products, all 1."""
        return Accumulator(self, count)

    def fixed_base(self, base: int, width: int, rows: int) -> "Table":
        """Powers of one base, for exponents below 2**(width * rows)."""
        return Table(self.n, list(_rows(mpz(base), self.n, width, rows)), width)

    def multi_power(self, values: Sequence[int], exponents: Sequence[int]) -> int:
        """The product of all values[i] ** exponents[i], by Pippenger's buckets."""
        bits = max((exponent.bit_length() for exponent in exponents), default=0)
        width = min(range(1, 17), key=lambda width: -(-bits // width) * (len(values) + (2 << width)))
        factors, total = [mpz(value) for value in values], mpz(1)
        for at in reversed(range(0, bits, width)):
            total = gmpy2.powmod(total, 1 << width, self.n) * self._by_digit(factors, exponents, at, width) % self.n
        return int(total)

    def _by_digit(self, values: list[mpz], exponents: Sequence[int], at: int, width: int) -> mpz:
        """The product of all values, each to the power of `width` bits of its exponent from bit `at` on."""
        buckets = [mpz(1)] * (1 << width)
        for value, exponent in zip(values, exponents, strict=True):
            digit = exponent >> at & (1 << width) - 1
            buckets[digit] = buckets[digit] * value % self.n
        above = total = mpz(1)
        for bucket in reversed(buckets[1:]):  # bucket d is counted d times
            above = above * bucket % self.n
            total = total * above % self.n
        return total


class Accumulator:
    """Running products."""

    def __init__(self, ring: Gmp, count: int) -> None:
        self._ring, self._values = ring, [1] * count

    def multiply(self, numbers: Sequence[mpz]) -> None:
        """Multiply one number into each product."""
        self._values = self._ring.products(self._values, numbers)

    def values(self) -> list[int]:
        """The products so far."""
        return list(self._values)


class Table:
    """Entries of one base: [i][d] is base ** (d * 2**(i * width))."""

    def __init__(self, n: mpz, rows: list[list[mpz]], width: int) -> None:
        self._n, self._rows, self._width = n, rows, width

    def powers(self, exponents: Sequence[int]) -> list[int]:
        """The base to the power of each exponent, which is below 2**(rows * width)."""
        return [self._power(exponent) for exponent in exponents]

    def _power(self, exponent: int) -> int:
        digit, total = (1 << self._width) - 1, mpz(1)
        for row in self._rows:
            total = total * row[exponent & digit] % self._n
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
