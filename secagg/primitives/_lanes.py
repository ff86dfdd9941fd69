"""Integers mod n in the lanes of vectors: from Python's integers to the Montgomery kernels and back.

Exponents are secret: neither time nor addresses depend on them, only on how long they may be, and what held them or
their digits is overwritten. Python's own integers, which arguments and results are, cannot be.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from math import prod
from typing import Any

import gmpy2
import numpy as np
from numpy.typing import NDArray

from secagg.errors import ConfigError
from secagg.kernels import _cpu, montgomery
from secagg.kernels._memory import aligned
from secagg.kernels.montgomery import lanes, limbs

MAX_BITS = 1 << 14
"""Longest modulus for which sums of products were shown to fit a lane (`montgomery.lanes`)."""

LEAST_PRODUCTS = 128
"""Groups whose single products are worth a thread: 1 ms."""

EIGHTS = 64
"""Most groups of eight numbers that go over a fixed base's table together: they stay in cache beside one row of it."""

SCAN = 1 / 7
"""What reading a limb of a table's entry costs, in products of two limbs; measured."""

Array = NDArray[Any]


class Lanes:
    """Numbers mod n, several to a vector. All values lie in 0..n-1, which the caller has checked.

    Kernels multiply them mod N, the multiple of n that is -1 mod 2**radix. Where n is the square of a known root, N is
    the root's, and numbers are pairs x0 + x1 * N mod N**2.

    Attributes:
        n: the modulus.
        parts: 1, or 2 of pairs.
        entry_bytes: of an entry of a fixed base's table.
        scan: what reading a row of such a table costs for each entry, in products.
    """

    def __init__(self, n: int, limb: np.dtype[Any], root: int | None = None) -> None:
        """Take an odd n >= 3 of at most `MAX_BITS`, the type of a limb, which says how to multiply, and n's root."""
        multiplier = lanes.MULTIPLIERS[str(limb)]
        self.n, self.limb, self.parts = n, limb, 1 if root is None else 2
        self.radix, self.lanes = multiplier.radix, multiplier.lanes
        base = n if root is None else root
        self._multiple = gmpy2.mpz(base) * (-pow(base, -1, 1 << self.radix) % (1 << self.radix))
        self.length = -(-(self._multiple.bit_length() + multiplier.spare) // self.radix)
        self.chunks = -(-self.parts * self.length // lanes.CHUNK)
        self.entry_bytes = self.chunks * lanes.CHUNK * limb.itemsize
        self.scan: float = SCAN * self.parts / ((2 if root is None else 5) * self.length)  # limbs over products of two
        self.words = self._multiple.bit_length() // 64 + 1  # with a bit for the sign
        self.r = (1 << self.radix * self.length) % n
        self._modulus = aligned((self.length - 1,), limb)
        words = self._to_words([int(self._multiple + 1 >> self.radix)])
        limbs.split(words.reshape(1, 1, -1), self._modulus.reshape(1, -1, 1), self.radix)
        self._enter, self._leave = (self._split([x] * self.lanes) for x in (self.r**2 % n, 1))
        self._ones = aligned(self._leave.shape, limb)
        lanes.multiply(self._ones, self._enter, self._leave, self._modulus, self._room())

    def powers(self, values: Sequence[int], exponent: int) -> list[int]:
        """Each value to the power of one exponent >= 1."""
        bits = exponent.bit_length()
        width = self._window(bits)
        digits = np.array([exponent >> at & (1 << width) - 1 for at in range(0, bits, width)][::-1], np.int64)
        numbers = self._split(values)

        def work(chosen: slice, room: Array) -> None:
            table, entry = (aligned((count, *self._ones.shape[1:]), self.limb) for count in (1 << width, 1))
            part = numbers[chosen]
            try:
                table[0] = self._ones[0]
                lanes.multiply(part, part, self._enter, self._modulus, room)
                bits, entry_bits = (array.view(np.uint64).reshape(len(array), -1) for array in (table, entry))
                lanes.power(part, digits, width, table, bits, entry, entry_bits[0], self._modulus, room)
                lanes.multiply(part, part, self._leave, self._modulus, room)
            finally:
                entry.fill(0)

        try:
            self._over_threads(len(numbers), 1, work)
        finally:
            digits.fill(0)
        return self._joined(numbers, len(values))

    def _window(self, bits: int) -> int:
        """Bits of a digit of an exponent of so many, for the fewest products; an entry for each lane costs 2 `scan`."""

        def products(width: int) -> float:
            entries = 1 << width
            return entries + -(-bits // width) * (1 + 2 * self.scan * entries)

        return min(range(1, 8), key=products)

    def read(self, data: bytes) -> tuple[Array, int | None]:
        """Big-endian numbers, each as long as n, and the place of the first that is not below n.

        Lanes beyond the last number hold 1, which changes no product.
        """
        size = (self.n.bit_length() + 7) // 8
        count = len(data) // size
        padded = np.zeros((-(-count // self.lanes) * self.lanes, 8 * self.words), np.uint8)
        padded[:count, -size:] = np.frombuffer(data, np.uint8).reshape(count, size)
        padded[count:, -1] = 1
        words = padded.view(">u8")[:, ::-1].astype(np.uint64)
        numbers = aligned((len(words) // self.lanes, self.length, self.lanes), self.limb)
        limbs.split(words.reshape(-1, 1, self.words), numbers, self.radix)
        above = limbs.first_not_below(words, self._to_words([self.n])[0])
        return numbers, above if above < count else None

    def product(self, numbers: Array) -> int:
        """The product of all that were read, 1 of none."""
        total, room = aligned(self._leave.shape, self.limb), self._room()
        total[:] = self._leave
        lanes.fold(total, numbers, self._modulus, room)
        lanes.multiply(total, total, self._leave, self._modulus, room)
        result: int = pow(self.r, (len(numbers) + 1) * self.lanes, self.n)  # each product was a division by R
        for value in self._joined(total, self.lanes):
            result = result * value % self.n
        return result

    def accumulator(self, count: int) -> "Accumulator":
        """`count` running products, all 1."""
        return Accumulator(self, count)

    def fixed_base(self, base: int, width: int, rows: int) -> "Table":
        """Powers of one base, for exponents below 2**(width * rows)."""
        starts, n = [gmpy2.mpz(base)], gmpy2.mpz(self.n)
        for _ in range(1, rows):
            starts.append(gmpy2.powmod(starts[-1], 1 << width, n))
        bases, room = self._split([int(start) for start in starts]), self._room()
        lanes.multiply(bases, bases, self._enter, self._modulus, room)
        blocks = -(-(1 << width) // lanes.BLOCK)
        entries = aligned((rows, self.chunks, blocks, 2 * lanes.CHUNK, lanes.BLOCK), np.uint32)
        entries.fill(0)
        current = aligned(self._ones.shape, self.limb)
        lanes.fill(entries, self._ones, bases, current, self._modulus, room)
        return Table(self, entries, width)

    def fixed_powers(self, table: "Table", exponents: Sequence[int]) -> list[int]:
        """The table's base to the power of each exponent."""
        rows, width = len(table.entries), table.width
        size, each = (rows * width + 7) // 8, lanes.EIGHT // self.lanes
        eights = -(-len(exponents) // lanes.EIGHT)
        digits = np.zeros((eights * lanes.EIGHT, size + 2), np.uint8)
        for place, exponent in zip(digits, exponents, strict=False):
            place[:size] = np.frombuffer(exponent.to_bytes(size, "little"), np.uint8)
        numbers = aligned((-(-len(exponents) // self.lanes), *self._ones.shape[1:]), self.limb)

        def work(chosen: slice, room: Array) -> None:
            entry = aligned((each, self.chunks * lanes.CHUNK, self.lanes), self.limb)
            indices = aligned((table.entries.shape[2], lanes.EIGHT), np.int32)
            part = numbers[chosen.start * each : chosen.stop * each]
            mine = digits[chosen.start * lanes.EIGHT : chosen.stop * lanes.EIGHT]
            try:
                lanes.fixed_power(part, table.entries, mine, width, indices, entry, self._modulus, room)
                lanes.multiply(part, part, self._leave, self._modulus, room)
            finally:
                entry.fill(0)
                indices.fill(0)

        try:
            self._over_threads(eights, 4, work, EIGHTS)
        finally:
            digits.fill(0)
        return self._joined(numbers, len(exponents))

    def _over_threads(
        self, groups: int, least: int, work: Callable[[slice, Array], None], most: int | None = None
    ) -> None:
        """Call `work` on slices of `most` groups or fewer, on as many threads as there are slices of `least`."""
        threads = max(1, min(_cpu.threads(), groups // least))
        step = max(1, min(-(-groups // threads), most or groups))
        chosen = [slice(at, min(at + step, groups)) for at in range(0, groups, step)]

        def wiped(left: Iterator[slice]) -> None:
            room = self._room()
            try:
                for part in left:
                    work(part, room)
            finally:
                room.fill(0)

        _cpu.over_threads(wiped, chosen, threads)

    def _room(self) -> Array:
        shape = (self.length, self.lanes)
        return aligned(shape if self.parts == 1 else (self.parts, *shape), np.uint64)

    def _to_words(self, values: Sequence[int]) -> NDArray[np.uint64]:
        size = 8 * self.words
        data = b"".join([value.to_bytes(size, "little") for value in values])
        return np.frombuffer(data, "<u8").astype(np.uint64, copy=False).reshape(-1, self.words)

    def _split(self, values: Sequence[int]) -> Array:
        numbers = aligned((-(-len(values) // self.lanes), self.parts * self.length, self.lanes), self.limb)
        words = self._to_words(values if self.parts == 1 else self._apart(values))
        limbs.split(words.reshape(-1, self.parts, self.words), numbers, self.radix)
        return numbers

    def _apart(self, values: Sequence[int]) -> list[int]:
        """x0 and x1 of each value, one after the other."""
        pairs = [gmpy2.f_divmod(value, self._multiple) for value in values]
        return [int(part) for high, low in pairs for part in (low, high)]

    def _joined(self, numbers: Array, count: int) -> list[int]:
        """The first `count` numbers, each a product with `_leave`; `numbers` is overwritten with zeros."""
        words = np.empty((count, self.parts, self.words), np.uint64)
        limbs.join(numbers, words, self.radix)
        numbers.fill(0)
        data, size = words.astype("<u8", copy=False).tobytes(), 8 * self.words
        words.fill(0)
        found = [int.from_bytes(data[at : at + size], "little", signed=True) for at in range(0, len(data), size)]
        if self.parts == 1:
            return [value % self.n for value in found]
        return [int((low + high * self._multiple) % self.n) for low, high in zip(found[::2], found[1::2], strict=True)]


class Accumulator:
    """Running products that stay in lanes: to multiply in costs one product, where to come and go costs two more."""

    def __init__(self, ring: Lanes, count: int) -> None:
        self._ring, self._count, self._times = ring, count, 0
        self._numbers = ring._split([1] * count)  # the products, over R ** times

    def multiply(self, numbers: Array) -> None:
        """Multiply one number into each product."""
        ring = self._ring

        def work(chosen: slice, room: Array) -> None:
            part = self._numbers[chosen]
            lanes.multiply(part, part, numbers[chosen], ring._modulus, room)

        ring._over_threads(len(numbers), LEAST_PRODUCTS, work)
        self._times += 1

    def values(self) -> list[int]:
        """The products so far."""
        ring, found = self._ring, aligned(self._numbers.shape, self._ring.limb)
        back, room = ring._split([pow(ring.r, self._times + 2, ring.n)] * ring.lanes), ring._room()
        lanes.multiply(found, self._numbers, back, ring._modulus, room)
        lanes.multiply(found, found, ring._leave, ring._modulus, room)
        return ring._joined(found, self._count)


class Table:
    """Entries of one base: number d of row i is base ** (d * 2**(i * width)), times R; laid out as by `lanes.fill`."""

    def __init__(self, ring: Lanes, entries: Array, width: int) -> None:
        self._ring, self.entries, self.width = ring, entries, width

    def powers(self, exponents: Sequence[int]) -> list[int]:
        """The base to the power of each exponent, which is below 2**(rows * width)."""
        return self._ring.fixed_powers(self, exponents)


def _written(values: Sequence[int], n: int) -> bytes:
    """What `Lanes.read` reads."""
    return b"".join(value.to_bytes((n.bit_length() + 7) // 8) for value in values)


@cache
def proved(name: str, square: bool = False) -> np.dtype[Any]:
    """The type of limb of the kernel of that name, once it has shown that it agrees with Python's integers.

    Args:
        name: of `montgomery.IMPLEMENTATIONS`.
        square: what multiplies pairs is asked, of which only powers are taken.

    Raises:
        ConfigError: it does not, or this machine has no kernel of that name.
    """
    limb = montgomery.IMPLEMENTATIONS.get(name)
    if limb is None:
        raise ConfigError(f"Montgomery kernel {name!r} does not run on this machine")
    root, exponents = (1 << 521) - 1, [0, 1, (1 << 64) - 1, 3**40]
    n = root**2 if square else root
    values = [0, 1, n - 1, *(pow(3, 1000 + i, n) for i in range(10))]
    ring = Lanes(n, limb, root if square else None)
    found = [ring.powers(values, 3**80), ring.fixed_base(values[-1], 3, 22).powers(exponents)]
    expected = [[pow(value, 3**80, n) for value in values], [pow(values[-1], exponent, n) for exponent in exponents]]
    if not square:
        found.append([ring.product(ring.read(_written(values[1:], n))[0])])
        expected.append([prod(values[1:]) % n])
    if found != expected:
        raise ConfigError(
            f"Montgomery kernel {name!r} disagrees with Python's integers on this machine; "
            "set SECAGG_KERNEL=portable, and please report it"
        )
    return limb
