"""Montgomery products of several numbers side by side, one in each lane of a vector.

The type of the limbs says which instructions multiply:

- uint64: eight lanes of 52 bits, `vpmadd52luq` and `vpmadd52huq` of AVX-512 IFMA (Gueron and Krasnov, "Accelerating big
  integer arithmetic using Intel IFMA extensions", ARITH 2016).
- float64: four lanes of 50 bits, fused multiply-add of AVX2 machines. Added to 1.5 * 2**102, a product leaves its high
  half in the sum's last bits; what was lost, taken off again, is the low half, exactly (Emmart, Zheng and Weems,
  "Faster modular exponentiation using double precision floating point arithmetic on the GPU", ARITH 2018). Sums of
  such bit patterns are taken as integers; the patterns' own constants come off as a multiple of one bias.

A product of a and b is (a * b + Q * n) / R, R = 2**(radix * limbs) >= 4n, with Q made limb by limb so that the
division is exact (Montgomery, "Modular multiplication without trial division", 1985). It is congruent to a * b / R and
never fully reduced: limbs of 52 bits keep it in 0..2n, those of 50 bits, whose Q is signed, within n of zero. Doubles
that round in another direction than to nearest leave every sum exact and only make Q larger: a product is then within
2n of zero, and one with the factor 1, which is how numbers leave this form, within n as ever.

Time and addresses depend on lengths alone: exponents select table entries by reading all of them.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from secagg.kernels._jit import kernel

ROWS = 2  # of the product at a time: halves the traffic of the accumulators
CHUNK = 8
"""Limbs of a table's entry that lie together, and are in registers at a time: a cache line."""
LEAST = 4 * ROWS
"""Fewest limbs of a number: each half of a pass begins after the first two pairs."""

_emitted: Any = intrinsic  # Numba fills the first parameter itself, which its own types do not tell
_tools: Any = cgutils

_QUAD, _DOUBLE = ir.IntType(64), ir.DoubleType()


class _Fused:
    """Products of 50-bit limbs by fused multiply-add of doubles; |limb| <= 2**50, |quotient digit| <= 2**49."""

    lanes, radix, entry = 4, 50, _DOUBLE
    high = 1.5 * 2.0**102  # its last bit counts 2**50
    low = 1.5 * 2.0**52  # its last bit counts 1
    low_bias, high_bias = (struct.unpack("<q", struct.pack("<d", x))[0] for x in (low, high))

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder
        self.limb, self.quads = (ir.VectorType(kind, self.lanes) for kind in (_DOUBLE, _QUAD))

    def accumulate(self, total: ir.Value, pairs: list[tuple[ir.Value, ir.Value]]) -> tuple[ir.Value, ir.Value]:
        """`total` + the low halves of all products, and their high halves; a bias is added for every two products.

        Two products share one high sum: together below 2**101, they leave it in the binade of `high`.
        """
        b, highs = self.builder, None
        for at in range(0, len(pairs), 2):
            before, lows = self.limb([self.high] * self.lanes), None
            start = self.limb([self.high + self.low] * self.lanes)
            for x, y in pairs[at : at + 2]:
                after = self._fused(x, y, before)
                low = self._fused(x, y, b.fsub(start, after))
                lows = low if lows is None else b.fadd(lows, low)
                before = start = after
            total = b.add(total, b.bitcast(lows, self.quads))
            bits = b.bitcast(before, self.quads)
            highs = bits if highs is None else b.add(highs, bits)
        return total, highs

    def quotient(self, total: ir.Value, factor: ir.Value) -> ir.Value:
        """The remainder nearest zero of `total` * `factor` by 2**radix."""
        x, high = self.masked(total), self.limb([self.high] * self.lanes)
        return self._fused(x, factor, self.builder.fsub(high, self._fused(x, factor, high)))

    def masked(self, total: ir.Value) -> ir.Value:
        """The last `radix` bits, as a limb."""
        return self.number(self.builder.and_(total, self.quads([(1 << self.radix) - 1] * self.lanes)))

    def number(self, total: ir.Value) -> ir.Value:
        """An integer of less than 51 bits, of either sign, as a limb."""
        b = self.builder
        shifted = b.bitcast(b.add(total, self.quads([self.low_bias] * self.lanes)), self.limb)
        return b.fsub(shifted, self.limb([self.low] * self.lanes))

    def carry(self, total: ir.Value) -> ir.Value:
        """`total`, within 2**62 of zero, / 2**radix, rounded down: AVX2 has no arithmetic shift of 64 bits."""
        b = self.builder
        shifted = b.lshr(b.add(total, self.quads([1 << 62] * self.lanes)), self.quads([self.radix] * self.lanes))
        return b.sub(shifted, self.quads([1 << (62 - self.radix)] * self.lanes))

    def _fused(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        name = f"llvm.fma.v{self.lanes}f64"
        return self.builder.call(_declared(self.builder, name, self.limb), [x, y, z])


class _Madd52:
    """Products of 52-bit limbs by the two instructions made for them; limbs are read mod 2**52."""

    lanes, radix, entry = 8, 52, _QUAD
    low_bias = high_bias = 0

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder
        self.limb = self.quads = ir.VectorType(_QUAD, self.lanes)

    def accumulate(self, total: ir.Value, pairs: list[tuple[ir.Value, ir.Value]]) -> tuple[ir.Value, ir.Value]:
        """`total` + the low halves of all products, and their high halves."""
        highs = self.quads([0] * self.lanes)
        for x, y in pairs:
            total = self._madd52("l", total, x, y)
            highs = self._madd52("h", highs, x, y)
        return total, highs

    def quotient(self, total: ir.Value, factor: ir.Value) -> ir.Value:
        """`total` * `factor` mod 2**radix."""
        return self._madd52("l", self.quads([0] * self.lanes), total, factor)

    def masked(self, total: ir.Value) -> ir.Value:
        """The last `radix` bits."""
        return self.builder.and_(total, self.quads([(1 << self.radix) - 1] * self.lanes))

    def number(self, total: ir.Value) -> ir.Value:
        """The limb itself."""
        return total

    def carry(self, total: ir.Value) -> ir.Value:
        """`total` / 2**radix, rounded down."""
        return self.builder.lshr(total, self.quads([self.radix] * self.lanes))

    def _madd52(self, half: str, total: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
        """`total` + the low or high 52 bits of a product of 52-bit numbers."""
        return self.builder.call(_declared(self.builder, MADD52.format(half), self.quads), [total, x, y])


MADD52 = "llvm.x86.avx512.vpmadd52{}.uq.512"
"""LLVM's name of the two instructions, "l" and "h"."""

MULTIPLIERS: dict[str, Any] = {"float64": _Fused, "uint64": _Madd52}
"""Type of the limbs: how they are multiplied."""


@kernel
def multiply(
    out: NDArray[Any], lefts: NDArray[Any], rights: NDArray[Any], modulus: NDArray[Any], room: NDArray[np.uint64]
) -> None:
    """out[g] = lefts[g] * rights[g] / R; a single group of rights serves all.

    Args:
        out: (groups, l, lanes); may be one of the factors.
        lefts: (groups, l, lanes).
        rights: (groups or 1, l, lanes).
        modulus: (l + 1,) limbs of n, and -1/n mod 2**radix; l is even and at least `LEAST`.
        room: (l, lanes) accumulators.
    """
    for group in range(len(lefts)):
        _product(out, group, lefts, group, rights, group % len(rights), modulus, room)


@kernel
def fold(total: NDArray[Any], values: NDArray[Any], modulus: NDArray[Any], room: NDArray[np.uint64]) -> None:
    """total[0] = total[0] * values[0] / R * values[1] / R ...; arguments as for `multiply`."""
    for group in range(len(values)):
        _product(total, 0, total, 0, values, group, modulus, room)


@kernel
def power(
    values: NDArray[Any],
    digits: NDArray[np.int64],
    width: int,
    table: NDArray[Any],
    bits: NDArray[np.uint64],
    chosen: NDArray[Any],
    chosen_bits: NDArray[np.uint64],
    modulus: NDArray[Any],
    room: NDArray[np.uint64],
) -> None:
    """Each of `values`, which are times R, to the power that `digits` tell, times R.

    Args:
        values: (groups, l, lanes), replaced by their powers.
        digits: (d,) of the exponent in base 2**width, the most significant first; d >= 1.
        width: bits of a digit.
        table: (2**width, l, lanes); entry 0 holds 1 times R. Holds powers of the last group afterwards.
        bits: the same memory as uint64.
        chosen: (1, l, lanes), and
        chosen_bits: the same memory as uint64. Tells the exponent's last digit afterwards.
        modulus: as for `multiply`.
        room: likewise.
    """
    for group in range(len(values)):
        _copy(table, 1, values, group)
        for entry in range(2, len(table)):
            _product(table, entry, table, entry - 1, table, 1, modulus, room)
        for place in range(digits.size):
            chosen_bits.fill(0)
            for entry in range(len(table)):
                mask = np.uint64(0) - np.uint64(entry == digits[place])
                for j in range(chosen_bits.shape[1]):
                    for lane in range(chosen_bits.shape[2]):
                        chosen_bits[0, j, lane] |= bits[entry, j, lane] & mask
            if place == 0:
                _copy(values, group, chosen, 0)
            else:
                for _ in range(width):
                    _product(values, group, values, group, values, group, modulus, room)
                _product(values, group, values, group, chosen, 0, modulus, room)


@kernel
def fill(
    table: NDArray[Any],
    ones: NDArray[Any],
    bases: NDArray[Any],
    current: NDArray[Any],
    modulus: NDArray[Any],
    room: NDArray[np.uint64],
) -> None:
    """Entry d of row i of the table = the d-th power of the i-th base; all are times R.

    Args:
        table: (rows, chunks, 2**width, CHUNK) zeros, written; rows <= groups * lanes, chunks = l / CHUNK rounded up.
        ones: (1, l, lanes) of 1 times R.
        bases: (groups, l, lanes).
        current: (1, l, lanes).
        modulus: as for `multiply`.
        room: likewise.
    """
    _, length, lanes = bases.shape
    for group in range(len(bases)):
        _copy(current, 0, ones, 0)
        for digit in range(table.shape[2]):
            for row in range(group * lanes, min(len(table), (group + 1) * lanes)):
                for j in range(length):
                    table[row, j // CHUNK, digit, j % CHUNK] = current[0, j, row % lanes]
            _product(current, 0, current, 0, bases, group, modulus, room)


@kernel
def fixed_power(
    out: NDArray[Any],
    table: NDArray[Any],
    exponents: NDArray[np.uint8],
    width: int,
    digits: NDArray[np.int64],
    chosen: NDArray[Any],
    modulus: NDArray[Any],
    room: NDArray[np.uint64],
) -> None:
    """The product over all rows i of the table's entry for digit i of the exponent, times R.

    Rows come first, groups second, so that a row stays in cache while all groups take their entries.

    Args:
        out: (groups, l, lanes) written.
        table: as `fill` made it.
        exponents: (groups * lanes, bytes) least significant byte first, two bytes longer than rows * width bits.
        width: bits of a digit, 1..9.
        digits: (lanes,); tells digits afterwards.
        chosen: (1, chunks * CHUNK, lanes); likewise.
        modulus: as for `multiply`.
        room: likewise.
    """
    groups, _, lanes = out.shape
    for row in range(len(table)):
        byte, shift = row * width >> 3, row * width & 7
        for group in range(groups):
            for lane in range(lanes):
                exponent = exponents[group * lanes + lane]
                word = np.int64(exponent[byte]) | np.int64(exponent[byte + 1]) << 8 | np.int64(exponent[byte + 2]) << 16
                digits[lane] = word >> shift & (1 << width) - 1
            _select(chosen, table, row, digits)
            if row == 0:
                _copy(out, group, chosen, 0)
            else:
                _product(out, group, out, group, chosen, 0, modulus, room)


@kernel
def _copy(out: NDArray[Any], i: int, source: NDArray[Any], j: int) -> None:
    """out[i] = source[j], both (l, lanes)."""
    for limb in range(out.shape[1]):
        for lane in range(out.shape[2]):
            out[i, limb, lane] = source[j, limb, lane]


@_emitted
def _select(_typing: Any, chosen: Any, table: Any, _row: Any, digits: Any) -> Any:
    """Emit the choice, in every lane, of one entry of a table's row by reading all of them.

    A chunk stays in registers over all entries. A digit is counted down, and its entry is there when it is zero.
    """
    multiplier = MULTIPLIERS[str(chosen.dtype)]

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        m = multiplier(builder)
        _, chunks, entries, _ = _shape(context, builder, signature.args[1], arguments[1])
        out = _address(context, builder, signature.args[0], arguments[0], m.limb)
        table = _address(context, builder, signature.args[1], arguments[1], m.entry)
        wanted = builder.load(_address(context, builder, signature.args[3], arguments[3], m.quads), align=8)
        kept = [_tools.alloca_once(builder, m.limb) for _ in range(CHUNK)]
        left = _tools.alloca_once(builder, m.quads)
        with _tools.for_range(builder, chunks) as chunk:
            _put(builder, [*kept, left], [*[m.limb(None)] * CHUNK, wanted])
            first = builder.mul(builder.add(builder.mul(arguments[2], chunks), chunk.index), entries)
            with _tools.for_range(builder, entries) as loop:
                digit = builder.load(left)
                here = builder.icmp_signed("==", digit, m.quads([0] * m.lanes))
                builder.store(builder.sub(digit, m.quads([1] * m.lanes)), left)
                entry = builder.gep(table, [builder.mul(builder.add(first, loop.index), _QUAD(CHUNK))])
                for number, place in enumerate(kept):
                    limb = _splat(builder, builder.load(builder.gep(entry, [_QUAD(number)])), m.limb)
                    builder.store(builder.select(here, limb, builder.load(place)), place)
            start = builder.mul(chunk.index, _QUAD(CHUNK))
            for number, place in enumerate(kept):
                _store(builder, builder.load(place), out, builder.add(start, _QUAD(number)))
        return context.get_dummy_value()

    return types.void(chosen, table, types.int64, digits), emit


@_emitted
def _product(
    _typing: Any, out: Any, _i: Any, lefts: Any, _j: Any, rights: Any, _k: Any, modulus: Any, room: Any
) -> Any:
    """Emit out[i] = lefts[j] * rights[k] / R."""
    multiplier = MULTIPLIERS[str(out.dtype)]

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        m, kinds = multiplier(builder), signature.args
        length = builder.sub(_shape(context, builder, kinds[6], arguments[6])[0], _QUAD(1))

        def group(number: int) -> ir.Value:
            start = _address(context, builder, kinds[number], arguments[number], m.limb)
            return builder.gep(start, [builder.mul(arguments[number + 1], length)])

        limbs = _address(context, builder, kinds[6], arguments[6], m.entry)
        accumulators = _address(context, builder, kinds[7], arguments[7], m.quads)
        _Product(m, group(2), group(4), limbs, accumulators, length).emit(group(0))
        return context.get_dummy_value()

    index = types.int64
    return types.void(out, index, lefts, index, rights, index, modulus, room), emit


class _Product:
    """Emits one product: two rows of the schoolbook's square at a time, divided by two limbs as they are added.

    At position p the rows of b0 and b1 add a[p] * b0 + n[p] * q0 + a[p-1] * b1 + n[p-1] * q1, and the sum moves down
    by two positions; q0 and q1 make the two lowest vanish. The next pair's q are made while the present rows are
    under way, for they wait on a long chain of instructions. Accumulators are off by a bias for every pass made.
    """

    def __init__(
        self, m: Any, a: ir.Value, b: ir.Value, modulus: ir.Value, accumulators: ir.Value, length: ir.Value
    ) -> None:
        self.m, self.builder, self.length = m, m.builder, length
        self.a, self.b, self.modulus, self.accumulators = a, b, modulus, accumulators
        self.bias = 2 * (m.low_bias + m.high_bias) % (1 << 64)
        self.factor = self._n(length)

    def emit(self, out: ir.Value) -> None:
        """All rows, and the carries."""
        b, m, two = self.builder, self.m, _QUAD(ROWS)
        zero = m.quads([0] * m.lanes)
        with _tools.for_range(b, self.length) as loop:
            _store(b, zero, self.accumulators, loop.index)
        kinds = (m.limb, m.limb, m.limb, m.limb, m.quads)
        state = [_tools.alloca_once(b, kind) for kind in kinds]  # b0, b1, q0, q1, carry
        b0, b1 = self._at(self.b, _QUAD(0)), self._at(self.b, _QUAD(1))
        q0, carry, highs = self._first(zero, b0)
        q1, carry = self._second(zero, b0, q0, b1, carry, highs)
        _put(b, state, (b0, b1, q0, q1, carry))
        offset = _tools.alloca_once_value(b, _QUAD(0))
        with _tools.for_range_slice(b, _QUAD(0), self.length, two, _QUAD) as (row, _):
            following = b.add(row, two)
            following = b.select(b.icmp_signed("<", following, self.length), following, _QUAD(0))  # made in vain
            before = b.load(offset)
            after = b.add(before, _QUAD(self.bias))
            self._rows(state, following, before, after)
            b.store(after, offset)
        self._carry(out, _splat(b, b.load(offset), m.quads))

    def _rows(self, state: list[ir.Value], following: ir.Value, before: ir.Value, after: ir.Value) -> None:
        """One pass over all positions; `before` and `after` are the accumulators' bias."""
        b, m = self.builder, self.m
        b0, b1, q0, q1, carry = (b.load(place) for place in state)
        moving = [_tools.alloca_once(b, kind) for kind in (m.limb, m.limb, m.quads)]  # a[p-1], n[p-1], highs of p-1
        _put(b, moving, (self._a(_QUAD(1)), self._n(_QUAD(1)), carry))

        def move(position: ir.Value) -> ir.Value:
            a, n = self._a(position), self._n(position)
            a_before, n_before, highs = (b.load(place) for place in moving)
            total = b.add(self._at(self.accumulators, position), highs)
            total, highs = m.accumulate(total, [(a, b0), (n, q0), (a_before, b1), (n_before, q1)])
            _store(b, total, self.accumulators, b.sub(position, _QUAD(ROWS)))
            _put(b, moving, (a, n, highs))
            return total

        lowest = _splat(b, b.sub(_QUAD(0), after), m.quads)
        lowest, second = (b.add(move(_QUAD(position)), lowest) for position in (2, 3))
        half = b.and_(b.lshr(self.length, _QUAD(1)), _QUAD(-2))
        next0, next1 = self._at(self.b, following), self._at(self.b, b.add(following, _QUAD(1)))
        next_q0, next_carry, next_highs = self._first(lowest, next0)
        self._all(move, _QUAD(2 * ROWS), half)
        next_q1, next_carry = self._second(second, next0, next_q0, next1, next_carry, next_highs)
        self._all(move, half, self.length)
        a_before, n_before, highs = (b.load(place) for place in moving)
        top = b.add(_splat(b, b.add(before, _QUAD(m.low_bias % (1 << 64))), m.quads), highs)
        top, highs = m.accumulate(top, [(a_before, b1), (n_before, q1)])
        _store(b, top, self.accumulators, b.sub(self.length, _QUAD(2)))
        missing = b.add(before, _QUAD((2 * m.low_bias + m.high_bias) % (1 << 64)))
        _store(b, b.add(_splat(b, missing, m.quads), highs), self.accumulators, b.sub(self.length, _QUAD(1)))
        _put(b, state, (next0, next1, next_q0, next_q1, next_carry))

    def _all(self, move: Any, start: ir.Value, stop: ir.Value) -> None:
        with _tools.for_range_slice(self.builder, start, stop, _QUAD(2), _QUAD) as (position, _):
            move(position)
            move(self.builder.add(position, _QUAD(1)))

    def _first(self, lowest: ir.Value, b0: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
        """q0, what position 0 carries, and its highs, which have their bias."""
        b, m, zero = self.builder, self.m, _QUAD(0)
        a, n, off = self._a(zero), self._n(zero), m.quads([-m.low_bias] * m.lanes)
        lowest = b.add(lowest, off)
        q0 = m.quotient(m.accumulate(lowest, [(a, b0)])[0], self.factor)
        total, highs = m.accumulate(lowest, [(a, b0), (n, q0)])
        return q0, m.carry(total), b.add(highs, m.quads([-m.high_bias] * m.lanes))

    def _second(
        self, second: ir.Value, b0: ir.Value, q0: ir.Value, b1: ir.Value, carry: ir.Value, highs: ir.Value
    ) -> tuple[ir.Value, ir.Value]:
        """q1, and what position 1 carries together with its highs, which have their bias."""
        b, m = self.builder, self.m
        (a0, a1), (n0, n1) = ([read(_QUAD(j)) for j in (0, 1)] for read in (self._a, self._n))
        off = m.quads([-2 * m.low_bias % (1 << 64)] * m.lanes)
        total = b.add(b.add(b.add(second, carry), highs), off)
        pairs = [(a1, b0), (n1, q0), (a0, b1)]
        q1 = m.quotient(m.accumulate(total, pairs)[0], self.factor)
        total, highs = m.accumulate(total, [*pairs, (n0, q1)])
        return q1, b.add(m.carry(total), highs)

    def _carry(self, out: ir.Value, bias: ir.Value) -> None:
        """Cut the accumulators to limbs; the last one keeps what is left, and with it the sign."""
        b, m = self.builder, self.m
        last = b.sub(self.length, _QUAD(1))
        carried = _tools.alloca_once_value(b, m.quads([0] * m.lanes))
        with _tools.for_range(b, last) as loop:
            total = b.sub(b.add(self._at(self.accumulators, loop.index), b.load(carried)), bias)
            _store(b, m.masked(total), out, loop.index)
            b.store(m.carry(total), carried)
        total = b.sub(b.add(self._at(self.accumulators, last), b.load(carried)), bias)
        _store(b, m.number(total), out, last)

    def _at(self, vectors: ir.Value, position: ir.Value) -> ir.Value:
        return self.builder.load(self.builder.gep(vectors, [position]), align=8)

    def _a(self, position: ir.Value) -> ir.Value:
        return self._at(self.a, position)

    def _n(self, position: ir.Value) -> ir.Value:
        """Limb of n, in all lanes."""
        return _splat(self.builder, self.builder.load(self.builder.gep(self.modulus, [position])), self.m.limb)


def _store(builder: ir.IRBuilder, value: ir.Value, vectors: ir.Value, position: ir.Value) -> None:
    builder.store(value, builder.gep(vectors, [position]), align=8)


def _put(builder: ir.IRBuilder, places: list[ir.Value], values: Sequence[ir.Value]) -> None:
    for place, value in zip(places, values, strict=True):
        builder.store(value, place)


def _splat(builder: ir.IRBuilder, value: ir.Value, vector: ir.Type) -> ir.Value:
    first = builder.insert_element(vector(ir.Undefined), value, _QUAD(0))
    return builder.shuffle_vector(first, vector(ir.Undefined), ir.VectorType(ir.IntType(32), vector.count)(None))


def _shape(context: Any, builder: ir.IRBuilder, kind: Any, array: ir.Value) -> list[ir.Value]:
    shape: list[ir.Value] = _tools.unpack_tuple(builder, context.make_array(kind)(context, builder, array).shape)
    return shape


def _address(context: Any, builder: ir.IRBuilder, kind: Any, array: ir.Value, entry: ir.Type) -> ir.Value:
    """Where a contiguous array starts, as a pointer to `entry`."""
    return builder.bitcast(context.make_array(kind)(context, builder, array).data, entry.as_pointer())


def _declared(builder: ir.IRBuilder, name: str, kind: ir.Type) -> ir.Value:
    """LLVM's intrinsic of that name, of three vectors to one."""
    known: ir.Value | None = builder.module.globals.get(name)
    return known or ir.Function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
