"""X25519 (RFC 7748) of several pairs at once, one pair in each lane of a vector.

One generator emits the Montgomery ladder through LLVM for two kinds of arithmetic mod p = 2**255 - 19, both with five
limbs of 51 bits: four lanes of doubles, whose fused multiply-add gives either half of a product exactly (AVX2 and
FMA), and eight lanes of integers with the instructions made for it (AVX-512 IFMA).

Time depends on the number of pairs alone. A scalar's bit only ever chooses between two registers, by a blend; no
branch and no address depends on a scalar, a point or what is made of them.

A product is first made of *columns*: 64-bit sums of half products of equal weight. Columns are added and subtracted
as they are, so one reduction to limbs serves a whole sum of products. Only *elements*, which have reduced limbs, are
multiplied. They lie in a *room*: five rows of lanes each, known by number.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from secagg.kernels._jit import kernel

RADIX, LIMBS = 51, 5  # 2**(51 * 5) = 2**255 = 19 mod p, so column k + 5 is folded into column k, times 19
GROUPS = 16  # of lanes, that share an inversion
A24 = 121665  # of the curve (RFC 7748, 5)
ALL = (1 << RADIX) - 1
BIAS = [limb << 11 for limb in (ALL - 18, ALL, ALL, ALL, ALL)]  # 2**11 * p: makes columns within 2**61 positive

# Elements of a room. The ladder keeps x + z and x - z of its two points.
SUM, DIFFERENCE, OTHER_SUM, OTHER_DIFFERENCE, POINT, INTEGERS, SCRATCH = range(7)
INVERSE, SQUARED, Z = SCRATCH, SCRATCH + 5, -1
BITS = SCRATCH + 6  # rows of its own: the scalars' four words, of which set bits say that the ladder's points swap
FIRST = BITS + 1  # of each group: numerator, denominator, and the product of all denominators so far
ROWS = LIMBS * (FIRST + 3 * GROUPS) + GROUPS  # the last ones: of each group, 1 in a lane whose result is zero

# An inversion, in steps result = x**(2**squarings) * y; a number is an element's, Z that of what is inverted.
_THREE, _ELEVEN, _TEN, _FIFTY, _ONES = SCRATCH, SCRATCH + 1, SCRATCH + 2, SCRATCH + 3, SCRATCH + 4
POWERS = (
    (_THREE, Z, 1, Z),
    (_ELEVEN, Z, 3, _THREE),
    (_ONES, _THREE, 2, _THREE),
    (_ONES, _ONES, 1, Z),  # 2**5 - 1
    (_TEN, _ONES, 5, _ONES),  # 2**10 - 1
    (_ONES, _TEN, 10, _TEN),
    (_ONES, _ONES, 20, _ONES),  # 2**40 - 1
    (_FIFTY, _ONES, 10, _TEN),
    (_ONES, _FIFTY, 50, _FIFTY),
    (_ONES, _ONES, 100, _ONES),  # 2**200 - 1
    (_ONES, _ONES, 50, _FIFTY),  # 2**250 - 1
    (INVERSE, _ONES, 5, _ELEVEN),  # 2**255 - 21
)

_emitted: Any = intrinsic  # Numba fills the first parameter itself, which its own types do not tell
_INDEX, _QUAD = ir.IntType(32), ir.IntType(64)

Limbs = list[ir.Value]
Columns = tuple[Limbs, list[int]]
"""Five sums, and how much each is above its true value, mod 2**64."""
Sums = dict[tuple[int, int], tuple[ir.Value, int]]
"""{(column, shift): a sum that counts 2**shift times, and how much it is above its true value}."""


class _Field:
    """Arithmetic mod p on `lanes` elements side by side, emitted where `builder` stands.

    A limb that `reduced` makes lies within 19 * 2**12 of the range of 51 bits.
    """

    lanes: ClassVar[int]
    limb: ClassVar[ir.Type]
    half: ClassVar[int]  # half of the limbs' range if they are signed, else 0

    def __init__(self, builder: ir.IRBuilder, room: ir.Value) -> None:
        self.builder = builder
        self.room = room
        self.integer = ir.VectorType(_QUAD, self.lanes)

    def accumulate(self, sums: Sums, place: tuple[int, int], x: ir.Value, y: Callable[[], ir.Value]) -> None:
        """Add the two halves of x * y, limb by limb, to the sums at `place` and beyond; `y` gives a register."""
        raise NotImplementedError

    def as_limb(self, value: ir.Value) -> ir.Value:
        """A limb, from its value plus `half`."""
        raise NotImplementedError

    def as_columns(self, element: Limbs) -> Columns:
        """Of an element itself, as it is added to products."""
        raise NotImplementedError

    def small(self, value: int) -> ir.Constant:
        """A number below 2**50 as every lane's limb."""
        raise NotImplementedError

    def twice(self, x: ir.Value) -> tuple[ir.Value, int]:
        """A register and a shift that together count as 2 * x."""
        return x, 1

    def product(self, x: Any, y: Any) -> Columns:
        """Of two elements."""
        sums: Sums = {}
        for i in range(LIMBS):
            one = self.load(x, i)
            for j in range(LIMBS):
                self.accumulate(sums, (i + j, 0), one, lambda j=j: self.load(y, j))  # type: ignore[misc]
        return self._columns(sums)

    def square(self, x: Any) -> Columns:
        """Of an element: products of unlike limbs count twice."""
        sums: Sums = {}
        limbs = self.element(x)
        for i, one in enumerate(limbs):
            self.accumulate(sums, (2 * i, 0), one, lambda one=one: one)  # type: ignore[misc]
            double, shift = self.twice(one)
            for j in range(i + 1, LIMBS):
                self.accumulate(sums, (i + j, shift), double, lambda j=j: limbs[j])  # type: ignore[misc]
        return self._columns(sums)

    def multiple(self, x: Any, factor: ir.Value) -> Columns:
        """Of an element, by a small number in each lane."""
        sums: Sums = {}
        for i in range(LIMBS):
            self.accumulate(sums, (i, 0), self.load(x, i), lambda: factor)
        return self._columns(sums)

    def _columns(self, sums: Sums) -> Columns:
        """Ten columns folded into five."""
        add, totals = self.builder.add, [self._total(sums, column) for column in range(2 * LIMBS)]
        values, above = [], []
        for (low, low_above), (high, high_above) in zip(totals[:LIMBS], totals[LIMBS:], strict=True):
            folded = low
            if high is not None:  # 19 = 16 + 2 + 1; held apart, as LLVM would make slower multiplications of it
                folded = self.held(add(add(low, self._shifted(high, 4)), self._shifted(high, 1)))
                folded = add(folded, high)
            values.append(folded)
            above.append(low_above + 19 * high_above)
        return values, above

    def _total(self, sums: Sums, column: int) -> tuple[ir.Value, int]:
        total, above = None, 0
        for shift in range(3):
            value, more = sums.get((column, shift), (None, 0))
            if value is not None:
                value = self._shifted(value, shift)
                total = value if total is None else self.builder.add(total, value)
                above += more << shift
        return total, above

    def plus(self, a: Columns, b: Columns) -> Columns:
        """Sum."""
        return list(map(self.builder.add, a[0], b[0])), [x + y for x, y in zip(a[1], b[1], strict=True)]

    def minus(self, a: Columns, b: Columns) -> Columns:
        """Difference."""
        return list(map(self.builder.sub, a[0], b[0])), [x - y for x, y in zip(a[1], b[1], strict=True)]

    def reduced(self, columns: Columns) -> Limbs:
        """The element that has these columns, each within 2**61: every column hands what exceeds 51 bits on."""
        build, values = self.builder, []
        for value, above, bias in zip(*columns, BIAS, strict=True):
            values.append(build.add(value, self.constant(bias + self.half - above)))
        carries = [build.lshr(value, self.constant(RADIX)) for value in values]  # below 2**12
        carries = [build.mul(carries[-1], self.constant(19)), *carries[:-1]]
        kept = [build.and_(value, self.constant(ALL)) for value in values]
        return [self.as_limb(build.add(value, carry)) for value, carry in zip(kept, carries, strict=True)]

    def element(self, number: Any) -> Limbs:
        """An element of the room."""
        return [self.load(number, place) for place in range(LIMBS)]

    def load(self, number: Any, place: int, kind: ir.Type | None = None) -> ir.Value:
        """One limb of an element, or the integer in its place."""
        pointer = self._pointer(number, place, kind or ir.VectorType(self.limb, self.lanes))
        return self.builder.load(pointer, align=8 * self.lanes)

    def store(self, number: Any, limbs: Iterable[ir.Value]) -> None:
        """Make these, or integers, an element of the room."""
        for place, limb in enumerate(limbs):
            self.builder.store(limb, self._pointer(number, place, limb.type), align=8 * self.lanes)

    def _pointer(self, number: Any, place: int, kind: ir.Type) -> ir.Value:
        first = number * LIMBS if isinstance(number, int) else self.builder.mul(number, _QUAD(LIMBS))
        row = _QUAD(first + place) if isinstance(first, int) else self.builder.add(first, _QUAD(place))
        return self.builder.gep(self.builder.bitcast(self.room, kind.as_pointer()), [row])

    def constant(self, value: int) -> ir.Constant:
        """An integer in every lane, mod 2**64."""
        return self.integer([value % (1 << 64)] * self.lanes)

    def held(self, value: ir.Value) -> ir.Value:
        """The same value; LLVM may or may not see where it comes from."""
        return value

    def _shifted(self, value: ir.Value, bits: int) -> ir.Value:
        return self.builder.shl(value, self.constant(bits)) if bits else value


class _Doubles(_Field):
    """Four lanes of doubles that hold integers, |limb| <= 2**50 + 2**17.

    For |x|, |y| <= 2**50.6 or so, x * y + HIGH lies where doubles are 2**51 apart, so that it is HIGH + 2**51 * h with
    |x * y - 2**51 * h| <= 2**50: a second multiply-add gives that rest, exactly. HIGH and LOW are such that h and the
    rest stand in the low bits of the results and are added as integers. Rounding must be to nearest.
    """

    lanes, limb, half = 4, ir.DoubleType(), 1 << (RADIX - 1)
    HIGH, LOW = 1.5 * 2.0**103, 1.5 * 2.0**52

    def accumulate(self, sums: Sums, place: tuple[int, int], x: ir.Value, y: Callable[[], ir.Value]) -> None:
        column, shift = place
        high = self._fused(x, y(), self._real(self.HIGH))
        low = self._fused(x, y(), self.builder.fsub(self._real(self.HIGH + self.LOW), high))
        self._add(sums, (column, shift), low, self.LOW)
        self._add(sums, (column + 1, shift), high, self.HIGH)

    def as_limb(self, value: ir.Value) -> ir.Value:
        bits = self.builder.or_(value, self.constant(_bits(2.0**52)))
        return self.builder.fsub(self.builder.bitcast(bits, self._vector), self._real(2.0**52 + self.half))

    def as_columns(self, element: Limbs) -> Columns:
        moved = [self.builder.fadd(limb, self._real(self.LOW)) for limb in element]
        return [self.builder.bitcast(limb, self.integer) for limb in moved], [_bits(self.LOW)] * LIMBS

    def twice(self, x: ir.Value) -> tuple[ir.Value, int]:
        return self.builder.fadd(x, x), 0

    def load(self, number: Any, place: int, kind: ir.Type | None = None) -> ir.Value:
        """Anew each time: there are too few registers to keep limbs, and the multiply-add reads memory as fast."""
        self.room = _opaque(self.builder, self.room, "=r,0")
        return super().load(number, place, kind)

    def held(self, value: ir.Value) -> ir.Value:
        """Unseen: LLVM would move all additions behind all multiplications, for which there are too few registers."""
        return _opaque(self.builder, value, "=x,0")

    def small(self, value: int) -> ir.Constant:
        return self._real(float(value))

    def _add(self, sums: Sums, place: tuple[int, int], value: ir.Value, magic: float) -> None:
        integer = self.builder.bitcast(value, self.integer)
        if place in sums:
            before, above = sums[place]
            sums[place] = self.held(self.builder.add(before, integer)), above + _bits(magic)
        else:
            sums[place] = integer, _bits(magic)

    @property
    def _vector(self) -> ir.Type:
        return ir.VectorType(self.limb, self.lanes)

    def _real(self, value: float) -> ir.Constant:
        return self._vector([value] * self.lanes)

    def _fused(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        return self.builder.call(_declared(self.builder, f"llvm.fma.v{self.lanes}f64", [self._vector] * 3), [x, y, z])


class _Ifma(_Field):
    """Eight lanes of integers below 2**51 + 2**17, of whose products the instructions give bits 0..51 and 52..103."""

    lanes, limb, half = 8, _QUAD, 0

    def accumulate(self, sums: Sums, place: tuple[int, int], x: ir.Value, y: Callable[[], ir.Value]) -> None:
        column, shift = place
        for half, where in (("l", (column, shift)), ("h", (column + 1, shift + 1))):  # 2**52 = 2 * 2**51
            before, _ = sums.get(where, (self.constant(0), 0))
            sums[where] = self._fused(half, before, x, y()), 0

    def as_limb(self, value: ir.Value) -> ir.Value:
        return value

    def as_columns(self, element: Limbs) -> Columns:
        return element, [0] * LIMBS

    def small(self, value: int) -> ir.Constant:
        return self.constant(value)

    def _fused(self, half: str, total: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
        """Total plus that half of x * y."""
        name = f"llvm.x86.avx512.vpmadd52{half}.uq.{64 * self.lanes}"
        return self.builder.call(_declared(self.builder, name, [self.integer] * 3), [total, x, y])


FIELDS: dict[int, type[_Field]] = {field.lanes: field for field in (_Doubles, _Ifma)}


def _bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def _opaque(builder: ir.IRBuilder, value: ir.Value, where: str) -> ir.Value:
    return builder.call(ir.InlineAsm(ir.FunctionType(value.type, [value.type]), "", where), [value])


def _declared(builder: ir.IRBuilder, name: str, parameters: Sequence[ir.Type]) -> ir.Value:
    """LLVM's intrinsic of that name, which returns what it takes."""
    known: ir.Value | None = builder.module.globals.get(name)
    return known or ir.Function(builder.module, ir.FunctionType(parameters[0], parameters), name)


def _operation(emit: Callable[..., None]) -> Any:
    """`operation(room, a, b, c, lanes)`: one LLVM function of a module, as inlined each call is compiled anew."""

    def typed(_typing: Any, room: Any, _a: Any, _b: Any, _c: Any, lanes: Any) -> Any:
        field = FIELDS[len(lanes)]

        def call(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            builder.call(_function(builder.module, field, emit, array.data.type), [array.data, *arguments[1:4]])
            return context.get_dummy_value()

        return types.void(room, types.int64, types.int64, types.int64, lanes), call

    return _emitted(typed)


def _function(module: ir.Module, field: type[_Field], emit: Callable[..., None], room: ir.Type) -> ir.Value:
    name = f"x25519.{emit.__name__.strip('_')}.{field.lanes}"
    known: ir.Value | None = module.globals.get(name)
    if known is not None:
        return known
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [room, _QUAD, _QUAD, _QUAD]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block())
    emit(field(builder, function.args[0]), *function.args[1:])
    builder.ret_void()
    return function


@_operation
def _start(f: _Field, *_: ir.Value) -> None:
    """The ladder's start, (x2 : z2) = (1 : 0) and (x3 : z3) = (u : 1), from the integers of u."""
    u: Columns = [f.load(INTEGERS, place, f.integer) for place in range(LIMBS)], [0] * LIMBS
    one: Columns = [f.constant(int(place == 0)) for place in range(LIMBS)], [0] * LIMBS
    f.store(SUM, f.reduced(one))
    f.store(DIFFERENCE, f.reduced(one))
    _store_both(f, OTHER_SUM, OTHER_DIFFERENCE, u, one)
    f.store(POINT, f.reduced(u))


@_operation
def _step(f: _Field, row: ir.Value, shift: ir.Value, _: ir.Value) -> None:
    """One step (RFC 7748, 5), for the bits of a row of words that the shift brings to the top.

    Swapping the points first only changes which of them is doubled: their sum is the same. Both formulas take turns, so
    that a product seldom follows the one it waits for.
    """
    a, b, c, d, e = range(SCRATCH, SCRATCH + 5)
    swap = _top_bit(f, row, shift)
    for chosen, one, other in ((a, SUM, OTHER_SUM), (b, DIFFERENCE, OTHER_DIFFERENCE)):
        pairs = zip(f.element(other), f.element(one), strict=True)
        f.store(chosen, [f.builder.select(swap, *pair) for pair in pairs])
    _store_both(f, c, d, f.product(OTHER_DIFFERENCE, SUM), f.product(OTHER_SUM, DIFFERENCE))
    aa, bb = f.square(a), f.square(b)
    f.store(a, f.reduced(aa))
    f.store(b, f.reduced(bb))
    f.store(e, f.reduced(f.minus(aa, bb)))
    f.store(d, f.reduced(f.square(d)))
    cc = f.square(c)
    f.store(c, f.reduced(f.plus(aa, f.multiple(e, f.small(A24)))))
    ab = f.product(a, b)
    _store_both(f, OTHER_SUM, OTHER_DIFFERENCE, cc, f.product(d, POINT))
    _store_both(f, SUM, DIFFERENCE, ab, f.product(e, c))


def _top_bit(f: _Field, row: ir.Value, shift: ir.Value) -> ir.Value:
    """A mask of the lanes whose word, shifted left, has its highest bit set."""
    build = f.builder
    words = build.load(build.gep(build.bitcast(f.room, f.integer.as_pointer()), [row]), align=8 * f.lanes)
    alone = build.insert_element(f.integer(ir.Undefined), shift, _INDEX(0))
    everywhere = build.shuffle_vector(alone, alone, ir.VectorType(_INDEX, f.lanes)([0] * f.lanes))
    return build.icmp_signed("<", build.shl(words, everywhere), f.constant(0))


def _store_both(f: _Field, total: int, difference: int, one: Columns, other: Columns) -> None:
    f.store(total, f.reduced(f.plus(one, other)))
    f.store(difference, f.reduced(f.minus(one, other)))


@_operation
def _end(f: _Field, numerator: ir.Value, denominator: ir.Value, _: ir.Value) -> None:
    """2 * x and 2 * z of the ladder's result."""
    one, other = f.as_columns(f.element(SUM)), f.as_columns(f.element(DIFFERENCE))
    f.store(numerator, f.reduced(f.plus(one, other)))
    f.store(denominator, f.reduced(f.minus(one, other)))


@_operation
def _multiply(f: _Field, result: ir.Value, x: ir.Value, y: ir.Value) -> None:
    f.store(result, f.reduced(f.product(x, y)))


@_operation
def _square(f: _Field, result: ir.Value, x: ir.Value, _: ir.Value) -> None:
    f.store(result, f.reduced(f.square(x)))


@_operation
def _to_integers(f: _Field, x: ir.Value, *_: ir.Value) -> None:
    """Limbs as integers, with sign, to INTEGERS."""
    values, above = f.as_columns(f.element(x))
    f.store(INTEGERS, [f.builder.sub(value, f.constant(more)) for value, more in zip(values, above, strict=True)])


@_operation
def _from_integers(f: _Field, result: ir.Value, *_: ir.Value) -> None:
    f.store(result, f.reduced(([f.load(INTEGERS, place, f.integer) for place in range(LIMBS)], [0] * LIMBS)))


def rounds_right(lanes: int) -> bool:
    """Whether this thread's processor rounds as the arithmetic of so many lanes needs it."""
    return lanes not in FIELDS or FIELDS[lanes].half == 0 or _rounds_to_nearest(1.0, 2.0**-54)


@kernel
def _rounds_to_nearest(one: float, tiny: float) -> bool:
    return one + 2 * tiny == one and one + 3 * tiny > one and -one - 3 * tiny < -one


@kernel
def exchange(
    scalars: NDArray[np.uint64],
    points: NDArray[np.uint64],
    secrets: NDArray[np.uint64],
    room: NDArray[np.uint64],
    lanes: tuple[int, ...],
) -> None:
    """Row i of `secrets` is X25519(scalars[i], points[i]); each row is 32 bytes, read as little-endian words.

    Args:
        scalars, points: (n, 4).
        secrets: (n, 4), overwritten.
        room: (ROWS, len(lanes)), at an address that 64 divides; holds secrets afterwards.
        lanes: (0, ..., pairs of a vector - 1); its length is a type, so each width is compiled by itself.
    """
    width = len(lanes)
    signed = room.view(np.int64)
    for start in range(0, len(scalars), GROUPS * width):
        groups = (min(len(scalars) - start, GROUPS * width) + width - 1) // width
        for group in range(groups):
            _load(room, scalars, points, start + group * width, lanes)
            _climb(room, signed, group, lanes)
        _invert(room, FIRST + 3 * groups - 1, lanes)
        for group in range(groups - 1, -1, -1):
            _divide(room, group, lanes)
            _write(room, signed, group, secrets, start + group * width, lanes)


@kernel
def _load(room: Any, scalars: Any, points: Any, start: int, lanes: tuple[int, ...]) -> None:
    """Scalars, clamped, and u-coordinates without their top bit (RFC 7748, 5); a lane without a pair gets zeros."""
    for lane in range(len(lanes)):
        row = start + lane
        above = np.uint64(0)
        for place in range(3, -1, -1):
            word = scalars[row, place] if row < len(scalars) else np.uint64(0)
            if place == 3:
                word = (word & np.uint64((1 << 63) - 1)) | np.uint64(1 << 62)
            if place == 0:
                word &= ~np.uint64(7)
            # A step swaps where its bit differs from the one before it, which is the next higher one.
            room[LIMBS * BITS + place, lane] = word ^ (word >> np.uint64(1) | above << np.uint64(63))
            above = word
        for place in range(LIMBS):
            at, shift = RADIX * place // 64, RADIX * place % 64
            value = points[row, at] >> np.uint64(shift) if row < len(points) else np.uint64(0)
            if shift > 64 - RADIX and row < len(points):
                value |= points[row, at + 1] << np.uint64(64 - shift)
            room[LIMBS * INTEGERS + place, lane] = value & np.uint64(ALL)


@kernel
def _climb(room: Any, signed: Any, group: int, lanes: tuple[int, ...]) -> None:
    """The ladder; then the group's fraction, and the product of the denominators up to it."""
    _start(room, 0, 0, 0, lanes)
    for bit in range(254, -1, -1):
        _step(room, LIMBS * BITS + bit // 64, 63 - bit % 64, 0, lanes)
    numerator = FIRST + 3 * group
    denominator, running = numerator + 1, numerator + 2
    _end(room, numerator, denominator, 0, lanes)
    # A point of low order ends in 0 / 0: a denominator of 1 keeps it from the other groups' inverses.
    _to_integers(room, denominator, 0, 0, lanes)
    for lane in range(len(lanes)):
        _canonical(signed, lane)
        anything = np.uint64(0)
        for place in range(LIMBS):
            anything |= room[LIMBS * INTEGERS + place, lane]
        is_zero = (anything - np.uint64(1)) >> np.uint64(63)
        room[LIMBS * INTEGERS, lane] |= is_zero
        room[ROWS - GROUPS + group, lane] = is_zero
    _from_integers(room, denominator, 0, 0, lanes)
    if group == 0:
        _from_integers(room, running, 0, 0, lanes)
    else:
        _multiply(room, running, running - 3, denominator, lanes)


@kernel
def _invert(room: Any, z: int, lanes: tuple[int, ...]) -> None:
    """Its inverse, by Fermat z**(2**255 - 21), to INVERSE."""
    for i in range(len(POWERS)):
        result, x, squarings, y = POWERS[i]
        x, y = (z if x == Z else x), (z if y == Z else y)
        for _ in range(squarings):
            _square(room, SQUARED, x, 0, lanes)
            x = SQUARED
        _multiply(room, result, SQUARED, y, lanes)


@kernel
def _divide(room: Any, group: int, lanes: tuple[int, ...]) -> None:
    """The group's fraction to INTEGERS; groups come last to first, each taking its denominator off the inverse."""
    numerator = FIRST + 3 * group
    if group == 0:
        _multiply(room, numerator, numerator, INVERSE, lanes)
    else:
        _multiply(room, SQUARED, INVERSE, numerator - 1, lanes)
        _multiply(room, numerator, numerator, SQUARED, lanes)
        _multiply(room, INVERSE, INVERSE, numerator + 1, lanes)
    _to_integers(room, numerator, 0, 0, lanes)


@kernel
def _write(room: Any, signed: Any, group: int, secrets: Any, start: int, lanes: tuple[int, ...]) -> None:
    for lane in range(min(len(lanes), len(secrets) - start)):
        _canonical(signed, lane)
        keep = room[ROWS - GROUPS + group, lane] - np.uint64(1)  # all ones unless the result is zero
        for place in range(4):
            limb, shift = 64 * place // RADIX, 64 * place % RADIX
            word = room[LIMBS * INTEGERS + limb, lane] >> np.uint64(shift)
            word |= room[LIMBS * INTEGERS + limb + 1, lane] << np.uint64(RADIX - shift)
            secrets[start + lane, place] = word & keep


@kernel
def _canonical(signed: Any, lane: int) -> None:
    """The integers of a lane, of any sign, as the residue below p in limbs of 51 bits."""
    first = LIMBS * INTEGERS
    for turn in range(4):
        # The last turn adds 19 where the residue is p or more, and drops bit 255, which that sets.
        carry = np.int64(19)
        for place in range(LIMBS):
            carry = (signed[first + place, lane] + carry) >> RADIX
        carry = 19 * carry if turn == 3 else np.int64(0)
        for place in range(LIMBS):
            value = signed[first + place, lane] + carry
            signed[first + place, lane] = value & ALL
            carry = value >> RADIX
        if turn < 3:
            signed[first, lane] += 19 * carry
