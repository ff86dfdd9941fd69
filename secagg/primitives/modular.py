"""Arithmetic modulo one odd number, on many values at once.

Two engines give the same integers. Where the processor has fused multiply-add or IFMA, vectors hold several numbers
side by side; powers then take a time, and read addresses, that depend on the exponent's length alone. Elsewhere, under
SECAGG_KERNEL=portable and for moduli above 16384 bits GMP computes, whose time depends on the values, and a fixed
base's table is read where the exponent's digits say: there, a secret exponent is exposed to whoever can time the
process or shares its cache. `products`, `multi_power`, `Residues` and `Accumulator` are for public values on either
engine.

Where the modulus is a square and its root is known, `Modulus.square` makes vectors compute powers on pairs of numbers
half as long (`kernels.montgomery.lanes`).
"""

import operator
from collections.abc import Sequence
from functools import cached_property
from typing import Any, overload

from secagg.errors import ConfigError, OutOfRange
from secagg.kernels import montgomery
from secagg.primitives._gmp import Gmp
from secagg.primitives._lanes import MAX_BITS, Lanes, proved
from secagg.spans import span

TABLE_BYTES = 1 << 25
"""Most memory of one base's table."""

MAX_WIDTH = 9
"""Most bits of a digit of a fixed base's exponent."""


class Modulus:
    """The integers mod an odd n; arguments and results lie in 0..n-1.

    Attributes:
        n: the modulus.
        size: bytes of a number mod n.
    """

    def __init__(self, n: int, kernel: str | None = None) -> None:
        """Take n.

        Args:
            n: the modulus.
            kernel: for measurements, a name from `secagg.kernels.montgomery` instead of the process's own choice.

        Raises:
            ConfigError: n is not an odd integer >= 3.
        """
        self.n = _odd(n, "modulus")
        self._root: int | None = None
        self.size = (self.n.bit_length() + 7) // 8
        self._gmp, self._kernel = Gmp(self.n), kernel

    @classmethod
    def square(cls, root: int, kernel: str | None = None) -> "Modulus":
        """The integers mod root**2: vectors compute their powers in a little more than half the time.

        Args:
            root: its square is n.
            kernel: as for `Modulus`.

        Raises:
            ConfigError: the root is not an odd integer >= 3.
        """
        root = _odd(root, "root of a modulus")
        ring = cls(root**2, kernel)
        ring._root = root
        return ring

    def __repr__(self) -> str:
        return f"Modulus(<{self.n.bit_length()} bits>)"

    @cached_property
    def _engine(self) -> Gmp | Lanes:
        """Made at first use, for that may compile and prove a kernel."""
        return self._of(None)

    @cached_property
    def _power_engine(self) -> Gmp | Lanes:
        """The engine of powers; of a known root's square it computes on pairs, which take a division to enter."""
        return self._engine if self._root is None else self._of(self._root)

    def _of(self, root: int | None) -> Gmp | Lanes:
        name = self._kernel or montgomery.selected()
        if name == montgomery.PORTABLE or self.n.bit_length() > MAX_BITS:
            return self._gmp
        return Lanes(self.n, proved(name, root is not None), root)

    def powers(self, bases: Sequence[int], exponent: int) -> list[int]:
        """Each base to the power of one exponent >= 0; on as many threads as there are processors.

        Raises:
            OutOfRange: a base is not in 0..n-1, or the exponent is negative.
            ConfigError: the kernel failed its proof, or SECAGG_KERNEL or SECAGG_THREADS has no such value.
        """
        values, power = self._values(bases, "bases"), _exponent(exponent)
        return self._power_engine.powers(values, power) if power else [1] * len(values)

    def fixed_base(self, base: int, bits: int, uses: int = 1024) -> "FixedBase":
        """Tables of one base, for exponents below 2**bits.

        Args:
            base: 0..n-1.
            bits: >= 1.
            uses: about how many powers will be asked for; larger tables pay off later.

        Raises:
            OutOfRange: an argument is out of range.
            ConfigError: as for `powers`.
        """
        return FixedBase(self, base, bits, uses)

    def read(self, data: bytes, what: str = "number") -> "Residues":
        """Numbers as they came over the wire: big-endian, `size` bytes each.

        Args:
            data: `size` bytes for each number.
            what: one of them, in errors.

        Raises:
            OutOfRange: a number is not in 0..n-1; tells the first one's place.
            ConfigError: `data` is no whole number of numbers, or as for `powers`.
        """
        if len(data) % self.size:
            raise ConfigError(f"{len(data)} bytes: expected {self.size} for each {what}")
        return Residues(self, data, what)

    def products(self, lefts: Sequence[int], rights: Sequence[int]) -> list[int]:
        """lefts[i] * rights[i] mod n.

        GMP is as fast here as vectors are, which have to enter and leave their form for a single product.

        Raises:
            ConfigError: another number of lefts than of rights.
            OutOfRange: a value is not in 0..n-1.
        """
        _same_length(lefts, rights, "lefts", "rights")
        return self._gmp.products(self._values(lefts, "lefts"), self._values(rights, "rights"))

    def accumulator(self, count: int) -> "Accumulator":
        """`count` running products, all 1: the way to multiply many sequences together, one after the other.

        Raises:
            OutOfRange: `count` is negative.
            ConfigError: as for `powers`.
        """
        return Accumulator(self, count)

    def multi_power(self, bases: Sequence[int], exponents: Sequence[int]) -> int:
        """The product of all bases[i] ** exponents[i], 1 of none; exponents >= 0, and public.

        Pippenger's buckets ("On the evaluation of powers and monomials", 1980): each base joins the bucket of its
        digit, so it costs one product for each digit however many bases there are.

        Raises:
            ConfigError: another number of bases than of exponents.
            OutOfRange: a base is not in 0..n-1, or an exponent is negative.
        """
        _same_length(bases, exponents, "bases", "exponents")
        return self._gmp.multi_power(self._values(bases, "bases"), [_exponent(exponent) for exponent in exponents])

    def _values(self, values: Sequence[int], name: str) -> list[int]:
        """All of `values`, once each is known to be in range."""
        found = [_integer(value, name) for value in values]
        if not all(0 <= value < self.n for value in found):
            raise OutOfRange(f"{name}: expected integers in 0..n-1 for a modulus n of {self.n.bit_length()} bits")
        return found


class FixedBase:
    """Powers of one base by windows without squarings.

    Brickell, Gordon, McCurley and Wilson, "Fast exponentiation with precomputation" (Eurocrypt 1992): row i of the
    table holds base ** (d * 2**(i * width)) for every digit d, so a power is the product of one entry of each row.

    Attributes:
        bits: exponents are below 2**bits.
    """

    def __init__(self, modulus: Modulus, base: int, bits: int, uses: int) -> None:
        """Make the table; see `Modulus.fixed_base`."""
        self.bits = _integer(bits, "bits")
        if self.bits < 1:
            raise OutOfRange("bits: expected an integer >= 1")
        (start,) = modulus._values([base], "base")
        engine = modulus._power_engine
        width = _width(self.bits, engine.entry_bytes, max(1, _integer(uses, "uses")), engine.scan)
        self._table = engine.fixed_base(start, width, -(-self.bits // width))

    def powers(self, exponents: Sequence[int]) -> list[int]:
        """The base to the power of each exponent.

        Raises:
            OutOfRange: an exponent is not in 0..2**bits-1.
        """
        found = [_integer(exponent, "exponents") for exponent in exponents]
        if not all(exponent >= 0 and exponent.bit_length() <= self.bits for exponent in found):
            raise OutOfRange(f"exponents: expected integers in 0..2**{self.bits}-1")
        return self._table.powers(found)


class Residues(Sequence[int]):
    """Numbers mod n that were read once for all that is done with them; see `Modulus.read`.

    Attributes:
        modulus: whose they are.
        numbers: they, as the modulus's engine has them.
    """

    numbers: Any

    def __init__(self, modulus: Modulus, data: bytes, what: str) -> None:
        """Read them; see `Modulus.read`."""
        self.modulus, self._data, self._engine = modulus, data, modulus._engine
        self.numbers, above = self._engine.read(data)
        if above is not None:
            raise OutOfRange(
                f"{what} {above} is too large: expected less than a modulus of {modulus.n.bit_length()} bits"
            )

    def __len__(self) -> int:
        return len(self._data) // self.modulus.size

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> list[int]: ...
    def __getitem__(self, place: int | slice) -> int | list[int]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        start = range(len(self))[place] * self.modulus.size
        return int.from_bytes(self._data[start : start + self.modulus.size])

    def product(self) -> int:
        """Of all of them, 1 of none."""
        return self._engine.product(self.numbers)


class Accumulator:
    """Running products mod n.

    Attributes:
        count: how many.
    """

    def __init__(self, modulus: Modulus, count: int) -> None:
        """Start at 1; see `Modulus.accumulator`."""
        self.count = _integer(count, "count")
        if self.count < 0:
            raise OutOfRange("count: expected an integer >= 0")
        self._modulus, self._products = modulus, modulus._engine.accumulator(self.count)

    @span("sums of Paillier ciphertexts")
    def multiply(self, values: Residues) -> None:
        """Multiply one value into each product.

        Raises:
            ConfigError: another number of values than of products, or values of another modulus; nothing was
                multiplied.
        """
        if len(values) != self.count:
            raise ConfigError(f"values: expected {self.count}, one for each product, got {len(values)}")
        if values.modulus is not self._modulus:
            raise ConfigError("values: expected numbers that this modulus has read")
        self._products.multiply(values.numbers)

    def values(self) -> list[int]:
        """The products so far, 0..n-1."""
        return self._products.values()


def _width(bits: int, entry_bytes: int, uses: int, scan: float) -> int:
    """Bits of a digit: fewest products for the table and `uses` powers, within `TABLE_BYTES`; at least 1.

    Args:
        bits: of the exponents.
        entry_bytes: of one entry.
        uses: powers.
        scan: what reading a row costs for each of its entries, in products.
    """

    def products(width: int) -> float:
        entries = 1 << width
        return -(-bits // width) * (uses * (1 + scan * entries) + entries)

    fit = [width for width in range(2, MAX_WIDTH + 1) if (-(-bits // width) << width) * entry_bytes <= TABLE_BYTES]
    return min([1, *fit], key=products)


def _integer(value: int, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise ConfigError(f"{name}: expected integers, got {type(value).__name__}") from None


def _odd(value: int, name: str) -> int:
    n = _integer(value, name)
    if n < 3 or n % 2 == 0:
        raise ConfigError(f"{name}: expected an odd integer >= 3")
    return n


def _exponent(value: int) -> int:
    exponent = _integer(value, "exponent")
    if exponent < 0:
        raise OutOfRange("exponent: expected an integer >= 0")
    return exponent


def _same_length(lefts: Sequence[int], rights: Sequence[int], left: str, right: str) -> None:
    if len(lefts) != len(rights):
        raise ConfigError(f"expected as many {left} as {right}, got {len(lefts)} and {len(rights)}")
