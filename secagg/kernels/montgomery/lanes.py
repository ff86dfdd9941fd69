"""Montgomery products of several numbers side by side, one in each lane of a vector.

The type of the limbs says which instructions multiply:

- uint64: eight lanes of 52 bits, `vpmadd52luq` and `vpmadd52huq` of AVX-512 IFMA (Gueron and Krasnov, "Accelerating big
  integer arithmetic using Intel IFMA extensions", ARITH 2016).
- float64: four lanes of 50 bits, fused multiply-add of AVX2 machines. Added to 1.5 * 2**102, a product leaves its high
  half in the sum's last bits; what was lost, taken off again, is the low half, exactly (Emmart, Zheng and Weems,
  "Faster modular exponentiation using double precision floating point arithmetic on the GPU", ARITH 2018). Sums of
  such bit patterns are taken as integers; the patterns' own constants come off as a multiple of one bias.

The modulus is N = -1 mod 2**radix, a multiple of the n that is asked for. A product of a and b is (a * b + Q * N) / R,
R = 2**(radix * l), with Q made limb by limb so that the division is exact (Montgomery, "Modular multiplication without
trial division", 1985); with such an N, what stands in the sum's last limb is the digit of Q, and it is only multiplied
by (N + 1) / 2**radix. A product is congruent to a * b / R and never fully reduced.

Numbers mod N**2 are pairs x0 + x1 * N. With U = (x0 * y0 + Q * N) / R as above, x0 * y0 / R is U - Q * N / R, so

    x * y / R  =  U + N * ((x0 * y1 + x1 * y0 - Q) / R)  mod N**2,

and only mod N does the second division matter. With half as many limbs that is five products of limbs where one number
mod N**2 takes eight; a square takes three and a half, since the products of two limbs of x0 that differ come twice.

Bounds of what goes in hold for what comes out. Limbs of 52 bits: R >= 8N, and 0 <= x0, x1 <= 2N, since x0 becomes at
most 4N**2/R + N, and x1 at most 8N**2/R + N and, being an integer above -Q/R, at least 0. Limbs of 50 bits: digits of Q
are within 2**49 of zero, Q within R/2; R >= 4N, |x0| <= N and |x1| <= 5N/4, since they become at most N/4 + N/2 and
5N/8 + N/2, each and a little. In products their limbs are within 2**49 of zero, but the last; as numbers enter, they
are in 0..2**50-1. No rounding mode changes a result. A product with 1, which is how numbers leave, is within N.

Kernels know pairs by their room: (2, l, lanes) for pairs, whose numbers have 2 * l limbs, x0 first; (l, lanes) else.

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

EIGHT = 8
"""Numbers that take their entries of a table's row while it is read once: each 32 bits of a vector of 256."""
BLOCK = 4
"""Entries of a table among which one instruction chooses: 32 bits of each, from 128."""
CHUNK = 4
"""Limbs of a table's entries whose halves are in registers at a time."""

_emitted: Any = intrinsic  # Numba fills the first parameter itself, which its own types do not tell
_tools: Any = cgutils

_BYTE, _WORD, _QUAD, _DOUBLE = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.DoubleType()

Factors = list[tuple[ir.Value, ir.Value]]
"""Of products."""

Terms = list[list[tuple[int, ir.Value]]]
"""For each part of a product: which part of the left number is multiplied by which limb of the right one."""


class _Multiplier:
    """What both ways to multiply have in common."""

    lanes: int
    quads: ir.Type

    def constant(self, value: int) -> ir.Value:
        """`value` mod 2**64 in all lanes."""
        return self.quads([value % (1 << 64)] * self.lanes)


class _Fused(_Multiplier):
    """Products of 50-bit limbs by fused multiply-add of doubles.

    A row adds less than 2**52 to a sum; of pairs, 2**53. Sums of 16384 bits, 329 or 165 rows, stay within 2**61.
    """

    lanes, radix, entry = 4, 50, _DOUBLE
    spare = 2  # R >= 2**spare * N
    high = 1.5 * 2.0**102  # its last bit counts 2**50
    low = 1.5 * 2.0**52  # its last bit counts 1
    low_bias, high_bias = (struct.unpack("<q", struct.pack("<d", x))[0] for x in (low, high))

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder
        self.limb, self.quads = (ir.VectorType(kind, self.lanes) for kind in (_DOUBLE, _QUAD))

    def accumulate(self, total: ir.Value, pairs: Factors) -> tuple[ir.Value, ir.Value]:
        """`total` + the low halves of all products, and their high halves; both biases come for every two products.

        Two products share one high sum: together within 2**101, they leave it in the binade of `high`. Their low
        halves, each within 2**50 however it was rounded, leave theirs in that of `low`.
        """
        b, highs = self.builder, self.constant(0)
        for at in range(0, len(pairs), 2):
            before, lows = self.limb([self.high] * self.lanes), None
            start = self.limb([self.high + self.low] * self.lanes)
            for x, y in pairs[at : at + 2]:
                after = self._fused(x, y, before)
                low = self._fused(x, y, b.fsub(start, after))
                lows = low if lows is None else b.fadd(lows, low)
                before = start = after
            total = b.add(total, b.bitcast(lows, self.quads))
            highs = b.add(highs, b.bitcast(before, self.quads))
        return total, highs

    def minus(self, total: ir.Value, limb: ir.Value) -> ir.Value:
        """`total` - `limb`, and the bias of a low half."""
        b = self.builder
        return b.add(total, b.bitcast(b.fsub(self.limb([self.low] * self.lanes), limb), self.quads))

    def cut(self, total: ir.Value, bias: int) -> tuple[ir.Value, ir.Value]:
        """The limb nearest zero that is `total` - `bias` mod 2**radix, and what is left, / 2**radix.

        AVX2 has no arithmetic shift of 64 bits, so 2**62 goes on and, shifted, off again.
        """
        b, half = self.builder, 1 << (self.radix - 1)
        total = b.add(total, self.constant(half + (1 << 62) - bias))
        digit = b.or_(b.and_(total, self.constant((1 << self.radix) - 1)), self.constant(self.low_bias))
        limb = b.fsub(b.bitcast(digit, self.limb), self.limb([self.low + half] * self.lanes))
        return limb, b.sub(b.lshr(total, self.constant(self.radix)), self.constant(1 << (62 - self.radix)))

    def number(self, total: ir.Value) -> ir.Value:
        """An integer of less than 51 bits, of either sign, as a limb."""
        b = self.builder
        shifted = b.bitcast(b.add(total, self.constant(self.low_bias)), self.limb)
        return b.fsub(shifted, self.limb([self.low] * self.lanes))

    def doubled(self, limb: ir.Value, _below: ir.Value | None) -> tuple[ir.Value, None]:
        """Twice a limb of a product, which has room for it."""
        return self.builder.fadd(limb, limb), None

    def _fused(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        name = f"llvm.fma.v{self.lanes}f64"
        return self.builder.call(_declared(self.builder, name, [self.limb] * 3, self.limb), [x, y, z])


class _Madd52(_Multiplier):
    """Products of 52-bit limbs by the two instructions made for them; limbs are read mod 2**52.

    A row adds less than 2**54 to a sum; of pairs, 2**55. Sums of 16384 bits, 317 or 159 rows, stay below 2**63, which
    leaves a bit for the sign of those that a digit of Q was taken off.
    """

    lanes, radix, entry = 8, 52, _QUAD
    spare = 3  # R >= 2**spare * N
    low_bias = high_bias = 0

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder
        self.limb = self.quads = ir.VectorType(_QUAD, self.lanes)

    def accumulate(self, total: ir.Value, pairs: Factors) -> tuple[ir.Value, ir.Value]:
        """`total` + the low halves of all products, and their high halves."""
        highs = self.constant(0)
        for x, y in pairs:
            total = self._madd52("l", total, x, y)
            highs = self._madd52("h", highs, x, y)
        return total, highs

    def minus(self, total: ir.Value, limb: ir.Value) -> ir.Value:
        """`total` - `limb`."""
        return self.builder.sub(total, limb)

    def cut(self, total: ir.Value, _bias: int) -> tuple[ir.Value, ir.Value]:
        """The last `radix` bits, and what is left, / 2**radix."""
        b = self.builder
        return b.and_(total, self.constant((1 << self.radix) - 1)), b.ashr(total, self.constant(self.radix))

    def number(self, total: ir.Value) -> ir.Value:
        """The limb itself."""
        return total

    def doubled(self, limb: ir.Value, below: ir.Value | None) -> tuple[ir.Value, ir.Value | None]:
        """A limb of the double of a number below R / 2, and what the limb `below`, if there is one, carries into it."""
        b = self.builder
        twice = b.and_(b.shl(limb, self.constant(1)), self.constant((1 << self.radix) - 1))
        if below is None:
            return twice, None
        carried = b.lshr(below, self.constant(self.radix - 1))
        return b.or_(twice, carried), carried

    def _madd52(self, half: str, total: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
        """`total` + the low or high 52 bits of a product of 52-bit numbers."""
        name = MADD52.format(half)
        return self.builder.call(_declared(self.builder, name, [self.quads] * 3, self.quads), [total, x, y])


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
        out: (groups, limbs, lanes) with limbs = l, or 2 * l of pairs; may be one of the factors.
        lefts: (groups, limbs, lanes).
        rights: (groups or 1, limbs, lanes).
        modulus: (l - 1,) limbs of (N + 1) / 2**radix.
        room: (l, lanes), or (2, l, lanes) for pairs: accumulators.
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
    """Each of `values`, which are products times R, to the power that `digits` tell, times R.

    Args:
        values: (groups, limbs, lanes), replaced by their powers.
        digits: (d,) of the exponent in base 2**width, the most significant first; d >= 1.
        width: bits of a digit.
        table: (2**width, limbs, lanes); entry 0 holds 1 times R, a product. Holds powers of the last group afterwards.
        bits: (2**width, limbs * lanes), the same memory.
        chosen: (1, limbs, lanes), and
        chosen_bits: (limbs * lanes,), the same memory. Tells the exponent's last digit afterwards.
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
                for at in range(chosen_bits.size):
                    chosen_bits[at] |= bits[entry, at] & mask
            if place == 0:
                _copy(values, group, chosen, 0)
            else:
                for _ in range(width):
                    _square(values, group, values, group, modulus, room)
                _product(values, group, values, group, chosen, 0, modulus, room)


@kernel
def fill(
    table: NDArray[np.uint32],
    ones: NDArray[Any],
    bases: NDArray[Any],
    current: NDArray[Any],
    modulus: NDArray[Any],
    room: NDArray[np.uint64],
) -> None:
    """Entry d of row i of the table = the d-th power of the i-th base; all are times R.

    Args:
        table: (rows, chunks, blocks, 2 * CHUNK, BLOCK) zeros, written: block d // BLOCK of a chunk of limbs holds the
            halves of each limb of entry d, the lower one first, at d % BLOCK. rows <= groups * lanes, chunks = limbs /
            CHUNK rounded up.
        ones: (1, limbs, lanes) of 1 times R.
        bases: (groups, limbs, lanes).
        current: (1, limbs, lanes); holds a power of the last group afterwards.
        modulus: as for `multiply`.
        room: likewise.
    """
    _, length, lanes = bases.shape
    bits = current.view(np.uint64)
    for group in range(len(bases)):
        _copy(current, 0, ones, 0)
        for digit in range(BLOCK * table.shape[2]):
            for row in range(group * lanes, min(len(table), (group + 1) * lanes)):
                for j in range(length):
                    limb, block, half = bits[0, j, row % lanes], digit // BLOCK, 2 * (j % CHUNK)
                    table[row, j // CHUNK, block, half, digit % BLOCK] = limb & np.uint64(0xFFFFFFFF)
                    table[row, j // CHUNK, block, half + 1, digit % BLOCK] = limb >> np.uint64(32)
            _product(current, 0, current, 0, bases, group, modulus, room)


@kernel
def fixed_power(
    out: NDArray[Any],
    table: NDArray[np.uint32],
    exponents: NDArray[np.uint8],
    width: int,
    indices: NDArray[np.int32],
    chosen: NDArray[Any],
    modulus: NDArray[Any],
    room: NDArray[np.uint64],
) -> None:
    """The product over all rows i of the table's entry for digit i of the exponent, times R.

    Rows come first, numbers second, so that a row stays in cache while all numbers take their entries.

    Args:
        out: (groups, limbs, lanes) written.
        table: as `fill` made it.
        exponents: (m, bytes) least significant byte first, two bytes longer than rows * width bits; m is groups *
            lanes rounded up to a multiple of `EIGHT`.
        width: bits of a digit, 1..9.
        indices: (blocks, EIGHT); tells digits afterwards.
        chosen: (EIGHT / lanes, chunks * CHUNK, lanes); likewise.
        modulus: as for `multiply`.
        room: likewise.
    """
    for row in range(len(table)):
        byte, shift = row * width >> 3, row * width & 7
        for first in range(0, len(exponents), EIGHT):
            for number in range(EIGHT):
                exponent = exponents[first + number]
                word = np.int64(exponent[byte]) | np.int64(exponent[byte + 1]) << 8 | np.int64(exponent[byte + 2]) << 16
                digit = word >> shift & (1 << width) - 1
                octets = 0x03020100 + 0x04040404 * (digit & BLOCK - 1)
                for block in range(len(indices)):
                    indices[block, number] = octets | -np.int64(digit & -BLOCK != BLOCK * block)
            _select(chosen, table, row, indices)
            group = first // out.shape[2]
            for part in range(min(len(chosen), len(out) - group)):
                if row == 0:
                    _copy(out, group + part, chosen, part)
                else:
                    _product(out, group + part, out, group + part, chosen, part, modulus, room)


@kernel
def _copy(out: NDArray[Any], i: int, source: NDArray[Any], j: int) -> None:
    """out[i] = source[j], as many limbs as out[i] has."""
    for limb in range(out.shape[1]):
        for lane in range(out.shape[2]):
            out[i, limb, lane] = source[j, limb, lane]


@_emitted
def _select(_typing: Any, chosen: Any, table: Any, _row: Any, indices: Any) -> Any:
    """Emit the choice, for each of eight numbers, of one entry of a table's row by reading all of them.

    `vpshufb` gives each number its half of a limb of one among the entries of a block. Its index, of four octets a
    number, is negative where the entry is in another block, which gives zero.
    """
    multiplier = MULTIPLIERS[str(chosen.dtype)]
    words, octets, block = ir.VectorType(_WORD, EIGHT), ir.VectorType(_BYTE, 4 * EIGHT), ir.VectorType(_WORD, BLOCK)
    twofold = ir.Constant(words, [*range(BLOCK)] * 2)

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        m, kinds = multiplier(builder), signature.args
        _, chunks, blocks, halves, _ = _shape(context, builder, kinds[1], arguments[1])
        size = _shape(context, builder, kinds[0], arguments[0])[1]
        out = _address(context, builder, kinds[0], arguments[0], m.limb)
        table = _address(context, builder, kinds[1], arguments[1], block)
        indices = _address(context, builder, kinds[3], arguments[3], octets)
        shuffle = _declared(builder, "llvm.x86.avx2.pshuf.b", [octets, octets], octets)
        kept = [_tools.alloca_once(builder, words) for _ in range(2 * CHUNK)]
        with _tools.for_range(builder, chunks) as chunk:
            _put(builder, kept, [words([0] * EIGHT)] * len(kept))
            first = builder.mul(builder.add(builder.mul(arguments[2], chunks), chunk.index), blocks)
            with _tools.for_range(builder, blocks) as loop:
                index = builder.load(builder.gep(indices, [loop.index]), align=8)
                entries = builder.gep(table, [builder.mul(builder.add(first, loop.index), halves)])
                for half, place in enumerate(kept):
                    four = builder.load(builder.gep(entries, [_QUAD(half)]), align=8)
                    both = builder.bitcast(builder.shuffle_vector(four, four, twofold), octets)
                    found = builder.bitcast(builder.call(shuffle, [both, index]), words)
                    builder.store(builder.or_(builder.load(place), found), place)
            for limb in range(CHUNK):
                position = builder.add(builder.mul(chunk.index, _QUAD(CHUNK)), _QUAD(limb))
                low, high = (builder.load(place) for place in kept[2 * limb : 2 * limb + 2])
                for group in range(EIGHT // m.lanes):
                    numbers = range(group * m.lanes, (group + 1) * m.lanes)
                    woven = [at for number in numbers for at in (number, number + EIGHT)]
                    woven = ir.Constant(ir.VectorType(_WORD, len(woven)), woven)
                    found = builder.bitcast(builder.shuffle_vector(low, high, woven), m.limb)
                    _store(builder, found, out, builder.add(builder.mul(size, _QUAD(group)), position))
        return context.get_dummy_value()

    return types.void(chosen, table, types.int64, indices), emit


@_emitted
def _product(
    _typing: Any, out: Any, _i: Any, lefts: Any, _j: Any, rights: Any, _k: Any, modulus: Any, room: Any
) -> Any:
    """Emit out[i] = lefts[j] * rights[k] / R."""
    index = types.int64
    return types.void(out, index, lefts, index, rights, index, modulus, room), _emission(_Product, out, room)


@_emitted
def _square(_typing: Any, out: Any, _i: Any, factors: Any, _j: Any, modulus: Any, room: Any) -> Any:
    """Emit out[i] = factors[j] ** 2 / R, of a product."""
    index = types.int64
    return types.void(out, index, factors, index, modulus, room), _emission(_Square, out, room)


def _emission(kind: Any, out: Any, room: Any) -> Any:
    """What emits one such product, of one part or, where the room has three dimensions, of two."""
    multiplier, parts = MULTIPLIERS[str(out.dtype)], room.ndim - 1

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        m, kinds = multiplier(builder), signature.args
        length = builder.add(_shape(context, builder, kinds[-2], arguments[-2])[0], _QUAD(1))

        def number(at: int) -> list[ir.Value]:
            """Where the parts start of the group that two arguments tell."""
            start = _address(context, builder, kinds[at], arguments[at], m.limb)
            limbs = _shape(context, builder, kinds[at], arguments[at])[1]
            return split(builder.gep(start, [builder.mul(arguments[at + 1], limbs)]))

        def split(start: ir.Value) -> list[ir.Value]:
            return [builder.gep(start, [builder.mul(length, _QUAD(part))]) for part in range(parts)]

        factors = [number(at) for at in range(2, len(kinds) - 2, 2)]
        modulus = _address(context, builder, kinds[-2], arguments[-2], m.entry)
        accumulators = split(_address(context, builder, kinds[-1], arguments[-1], m.quads))
        kind(m, factors, modulus, accumulators, length).emit(number(0))
        return context.get_dummy_value()

    return emit


class _Product:
    """Emits a product of numbers of one or two parts: a row of the schoolbook's square at a time.

    Row i adds a * b[i] to the accumulators of each part. The last limb of the lowest is the digit q; since q * N is
    q * (N + 1) - q, the rest of it is carried, q * (N + 1) / 2**radix is added from the next position on, and all move
    down by one. The second part's lowest accumulator also loses the first one's q.

    Each row leaves its bias in every accumulator of a part. What is lowest in row i has seen i rows before, and starts
    at minus i biases; what comes in at the top in row i ends at position i, after all rows that follow.
    """

    sums = 1, 2
    """High sums of a position of each part: one for every two products."""

    def __init__(
        self,
        m: Any,
        factors: list[list[ir.Value]],
        modulus: ir.Value,
        accumulators: list[ir.Value],
        length: ir.Value,
    ) -> None:
        self.m, self.builder, self.length = m, m.builder, length
        self.factors, self.modulus, self.accumulators = factors, modulus, accumulators
        self.parts = len(accumulators)
        self.biases = [count * (m.low_bias + m.high_bias) for count in self.sums]

    def emit(self, outs: list[ir.Value]) -> None:
        """All rows, and the carries."""
        for part in range(self.parts):
            self._start(part)
        self._rows()
        for part, out in enumerate(outs):
            self._finish(part, out)

    def _rows(self) -> None:
        with _tools.for_range(self.builder, self.length) as loop:
            b = [self._at(number, loop.index) for number in self.factors[1]]
            terms = [[(0, b[0])], [(0, b[-1]), (1, b[0])]]
            self._row([(self.length, terms)])

    def _start(self, part: int) -> None:
        b, step = self.builder, self.m.constant(-self.biases[part])
        bias = _tools.alloca_once_value(b, self.m.constant(0))
        with _tools.for_range(b, self.length) as loop:
            now = b.load(bias)
            _store(b, now, self.accumulators[part], loop.index)
            b.store(b.add(now, step), bias)

    def _row(self, stretches: list[tuple[ir.Value, Terms]]) -> None:
        """One row, in stretches: up to which position, and which parts of a are multiplied by which limbs there."""
        b, m = self.builder, self.m
        q: list[ir.Value] = []
        highs = []
        for part in range(self.parts):
            digit, carry = self._lowest(part, stretches[0][1][part], q)
            q.append(digit)
            highs.append(_tools.alloca_once(b, m.quads))
            b.store(carry, highs[part])
        start = _QUAD(1)
        for stop, terms in stretches:
            with _tools.for_range_slice(b, start, stop, _QUAD(1), _QUAD) as (position, _):
                self._position(position, terms, q, highs)
            start = stop
        for part in range(self.parts):
            _store(b, b.load(highs[part]), self.accumulators[part], b.sub(self.length, _QUAD(1)))

    def _lowest(self, part: int, terms: list[tuple[int, ir.Value]], q: list[ir.Value]) -> tuple[ir.Value, ir.Value]:
        """The digit q of a part, and what position 0 carries, with its highs, which have their bias."""
        b, m, zero = self.builder, self.m, _QUAD(0)
        total, made = self._at(self.accumulators[part], zero), (len(terms) + 1) // 2
        if part:
            total = m.minus(total, q[0])
        pairs = [(self._at(self.factors[0][of], zero), limb) for of, limb in terms]
        total, highs = m.accumulate(total, pairs)
        digit, carry = m.cut(total, (made + part) * m.low_bias)
        return digit, b.add(b.add(carry, highs), m.constant((self.sums[part] - made) * m.high_bias))

    def _position(self, position: ir.Value, terms: Terms, q: list[ir.Value], highs: list[ir.Value]) -> None:
        b, m, below = self.builder, self.m, self.builder.sub(position, _QUAD(1))
        a = [self._at(number, position) for number in self.factors[0]]
        n = _splat(b, b.load(b.gep(self.modulus, [below])), m.limb)
        totals = [b.add(self._at(self.accumulators[part], position), b.load(highs[part])) for part in range(self.parts)]
        done = [
            m.accumulate(total, [*((a[of], limb) for of, limb in terms[part]), (n, q[part])])
            for part, total in enumerate(totals)
        ]
        for part, (total, carried) in enumerate(done):
            _store(b, total, self.accumulators[part], below)
            b.store(carried, highs[part])

    def _finish(self, part: int, out: ir.Value) -> None:
        """Cut the accumulators to limbs; the last one keeps what is left, and with it the sign."""
        b, m = self.builder, self.m
        last, step = b.sub(self.length, _QUAD(1)), _QUAD(self.biases[part] % (1 << 64))
        first = b.add(b.mul(last, step), _QUAD(self.sums[part] * m.high_bias % (1 << 64)))
        bias = _tools.alloca_once_value(b, _splat(b, first, m.quads))
        carried = _tools.alloca_once_value(b, m.constant(0))

        def total(position: ir.Value) -> ir.Value:
            return b.sub(b.add(self._at(self.accumulators[part], position), b.load(carried)), b.load(bias))

        with _tools.for_range(b, last) as loop:
            limb, carry = m.cut(total(loop.index), 0)
            _store(b, limb, out, loop.index)
            _put(b, [carried, bias], [carry, b.sub(b.load(bias), m.constant(self.biases[part]))])
        _store(b, m.number(total(last)), out, last)

    def _at(self, vectors: ir.Value, position: ir.Value) -> ir.Value:
        return self.builder.load(self.builder.gep(vectors, [position]), align=8)


class _Square(_Product):
    """Emits a square: twice the products of two limbs that differ, counted once, and those of each limb by itself."""

    sums = 1, 1

    def _rows(self) -> None:
        b, one = self.builder, _QUAD(1)
        self._row(self._stretches(_QUAD(0), None))
        with _tools.for_range_slice(b, one, self.length, one, _QUAD) as (row, _):
            self._row(self._stretches(row, b.sub(row, one)))

    def _stretches(self, row: ir.Value, before: ir.Value | None) -> list[tuple[ir.Value, Terms]]:
        """Nothing of the first part below the row's own position; there, its square; above, products, twice."""
        m, limbs = self.m, [self._at(number, row) for number in self.factors[0]]
        below = [None if before is None else self._at(number, before) for number in self.factors[0]]
        twice, carried = zip(*(m.doubled(*both) for both in zip(limbs, below, strict=True)), strict=True)
        own = [
            (0, limb) for limb in (limbs[0], carried[0]) if limb is not None
        ]  # `above` starts too high for the latter
        above, crossed = [(0, twice[0])], [(0, twice[-1])]
        found = [(self.builder.add(row, _QUAD(1)), [own, crossed]), (self.length, [above, crossed])]
        return found if before is None else [(row, [[], crossed]), *found]


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


def _declared(builder: ir.IRBuilder, name: str, kinds: list[ir.Type], result: ir.Type) -> ir.Value:
    """LLVM's intrinsic of that name."""
    known: ir.Value | None = builder.module.globals.get(name)
    return known or ir.Function(builder.module, ir.FunctionType(result, kinds), name)
