"""Integers mod n in the lanes of vectors: from Python's integers to the Montgomery kernels and back.

Exponents are secret: neither time nor addresses depend on them, only on how long they may be, and what held them or
their digits is overwritten. Python's own integers, which arguments and results are, cannot be.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import gmpy2
import numpy as np
from numpy.typing import NDArray

from secagg.errors import ConfigError
from secagg.kernels import _cpu, montgomery
from secagg.kernels._memory import aligned
from secagg.kernels.montgomery import lanes, limbs

MAX_BITS = 1 << 14
"""Longest modulus; sums of half as many limbs' products still fit a lane."""

LEAST_PRODUCTS = 128
"""Groups whose single products are worth a thread: 1 ms."""

Array = NDArray[Any]


class Lanes:
    """Numbers mod n, several to a vector. All values lie in 0..n-1, which the caller has checked."""

    scan = 1 / 350
    """What reading a row of a table costs for each entry, in products; measured."""

    def __init__(self, n: int, limb: np.dtype[Any]) -> None:
        """Take an odd n >= 3 of at most `MAX_BITS`, and the type of a limb, which says how to multiply."""
        multiplier = lanes.MULTIPLIERS[str(limb)]
        self.n, self.limb = n, limb
        self.radix, self.lanes = multiplier.radix, multiplier.lanes
        length = max(lanes.LEAST, -(-(n.bit_length() + 2) // self.radix))
        self.length = length + length % lanes.ROWS
        self.chunks = -(-self.length // lanes.CHUNK)
        self.entry_bytes = self.chunks * lanes.CHUNK * limb.itemsize
        self.words = n.bit_length() // 64 + 1  # with a bit for the sign
        self.r = (1 << self.radix * self.length) % n
        self._n_words = self._to_words([n])
        self._modulus = aligned((self.length + 1,), limb)
        limbs.split(self._n_words, self._modulus[:-1].reshape(1, -1, 1), self.radix)
        self._modulus[-1] = -pow(n, -1, 1 << self.radix) % (1 << self.radix)
        self._enter, self._ones, self._leave = (self._split([x] * self.lanes) for x in (self.r**2 % n, self.r, 1))

    def powers(self, values: Sequence[int], exponent: int) -> list[int]:
        """Each value to the power of one exponent >= 1."""
        bits = exponent.bit_length()
        width = min(range(1, 8), key=lambda width: (1 << width) + -(-bits // width))
        digits = np.array([exponent >> at & (1 << width) - 1 for at in range(0, bits, width)][::-1], np.int64)
        numbers = self._split(values)

        def work(chosen: slice, room: Array) -> None:
            table, entry = (aligned((count, self.length, self.lanes), self.limb) for count in (1 << width, 1))
            part = numbers[chosen]
            try:
                table[0] = self._ones[0]
                lanes.multiply(part, part, self._enter, self._modulus, room)
                views = table, table.view(np.uint64), entry, entry.view(np.uint64)
                lanes.power(part, digits, width, *views, self._modulus, room)
                lanes.multiply(part, part, self._leave, self._modulus, room)
            finally:
                entry.fill(0)

        try:
            self._over_threads(len(numbers), 1, work)
        finally:
            digits.fill(0)
        return self._joined(numbers, len(values))

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
        limbs.split(words, numbers, self.radix)
        above = limbs.first_not_below(words, self._n_words[0])
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
        entries = aligned((rows, self.chunks, 1 << width, lanes.CHUNK), self.limb)
        entries.fill(0)
        lanes.fill(entries, self._ones, bases, aligned(self._ones.shape, self.limb), self._modulus, room)
        return Table(self, entries, width)

    def fixed_powers(self, table: "Table", exponents: Sequence[int]) -> list[int]:
        """The table's base to the power of each exponent."""
        rows, width = len(table.entries), table.width
        groups = -(-len(exponents) // self.lanes)
        size = (rows * width + 7) // 8
        digits = np.zeros((groups * self.lanes, size + 2), np.uint8)
        for place, exponent in zip(digits, exponents, strict=False):
            place[:size] = np.frombuffer(exponent.to_bytes(size, "little"), np.uint8)
        numbers = aligned((groups, self.length, self.lanes), self.limb)

        def work(chosen: slice, room: Array) -> None:
            entry = aligned((1, self.chunks * lanes.CHUNK, self.lanes), self.limb)
            now = aligned((self.lanes,), np.int64)
            part = numbers[chosen]
            mine = digits[chosen.start * self.lanes : chosen.stop * self.lanes]
            try:
                lanes.fixed_power(part, table.entries, mine, width, now, entry, self._modulus, room)
                lanes.multiply(part, part, self._leave, self._modulus, room)
            finally:
                entry.fill(0)
                now.fill(0)

        try:
            self._over_threads(groups, 8, work)
        finally:
            digits.fill(0)
        return self._joined(numbers, len(exponents))

    def _over_threads(self, groups: int, least: int, work: Callable[[slice, Array], None]) -> None:
        """Call `work` on slices of groups, on as many threads as there are slices of at least `least`."""
        threads = max(1, min(_cpu.threads(), groups // least))
        step = max(1, -(-groups // threads))
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
        return aligned((self.length, self.lanes), np.uint64)

    def _to_words(self, values: Sequence[int]) -> NDArray[np.uint64]:
        size = 8 * self.words
        data = b"".join([value.to_bytes(size, "little") for value in values])
        return np.frombuffer(data, "<u8").astype(np.uint64, copy=False).reshape(-1, self.words)

    def _split(self, values: Sequence[int]) -> Array:
        numbers = aligned((-(-len(values) // self.lanes), self.length, self.lanes), self.limb)
        limbs.split(self._to_words(values), numbers, self.radix)
        return numbers

    def _joined(self, numbers: Array, count: int) -> list[int]:
        """The first `count` numbers, each a product with `_leave`; `numbers` is overwritten with zeros."""
        words = np.empty((count, self.words), np.uint64)
        limbs.join(numbers, words, self._n_words[0], self.radix)
        numbers.fill(0)
        data, size = words.astype("<u8", copy=False).tobytes(), 8 * self.words
        words.fill(0)
        return [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]


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
def proved(name: str) -> np.dtype[Any]:
    """The type of limb of the kernel of that name, once it has shown that it agrees with Python's integers.

    Raises:
        ConfigError: it does not, or this machine has no kernel of that name.
    """
    limb = montgomery.IMPLEMENTATIONS.get(name)
    if limb is None:
        raise ConfigError(f"Montgomery kernel {name!r} does not run on this machine")
    n, exponents = (1 << 521) - 1, [0, 1, (1 << 64) - 1, 3**40]
    values = [0, 1, n - 1, *(pow(3, 1000 + i, n) for i in range(10))]
    ring = Lanes(n, limb)
    found = [
        ring.powers(values, 3**80),
        [ring.product(ring.read(_written(values[1:], ring.n))[0])],
        ring.fixed_base(values[-1], 3, 22).powers(exponents),
    ]
    product = 1
    for value in values[1:]:
        product = product * value % n
    expected = [
        [pow(value, 3**80, n) for value in values],
        [product],
        [pow(values[-1], exponent, n) for exponent in exponents],
    ]
    if found != expected:
        raise ConfigError(
            f"Montgomery kernel {name!r} disagrees with Python's integers on this machine; "
            "set SECAGG_KERNEL=portable, and please report it"
        )
    return limb
