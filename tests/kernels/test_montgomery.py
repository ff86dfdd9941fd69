"""Montgomery products in lanes against Python's integers: every size, adversarial limbs, and no byte too far."""

import itertools

import numpy as np
import pytest
from guarded import guarded
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from secagg.kernels import montgomery
from secagg.kernels.montgomery import lanes, limbs

if not montgomery.IMPLEMENTATIONS:
    pytest.skip("this processor has neither fused multiply-add nor IFMA", allow_module_level=True)

KINDS = list(montgomery.IMPLEMENTATIONS.values())
SIZES = [
    2,
    3,
    8,
    31,
    48,
    49,
    50,
    51,
    52,
    53,
    63,
    64,
    65,
    127,
    297,
    298,
    299,
    308,
    309,
    310,
    347,
    348,
    349,
    360,
    361,
    362,
]
SIZES += [521, 1024, 2047, 4097]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=list(montgomery.IMPLEMENTATIONS))
both_forms = pytest.mark.parametrize("parts", [1, 2], ids=["numbers", "pairs"])


@njit
def squares(out, factors, modulus, room):
    """What `lanes.power` does between its products."""
    for group in range(len(factors)):
        lanes._square(out, group, factors, group, modulus, room)


class Ring:
    """The integers mod N, or N**2 where numbers have two parts, and what a kernel wants to know, between guard pages.

    A number is a tuple of its parts: x0, or x0 and x1 of x0 + x1 * N.
    """

    def __init__(self, n, kind, end=True, parts=1):
        multiplier = lanes.MULTIPLIERS[str(kind)]
        self.kind, self.end, self.parts = kind, end, parts
        self.radix, self.lanes = multiplier.radix, multiplier.lanes
        self.base = n * (-pow(n, -1, 1 << self.radix) % (1 << self.radix))
        self.n = self.base**parts
        self.length = -(-(self.base.bit_length() + multiplier.spare) // self.radix)
        self.r = 1 << self.radix * self.length
        self.modulus = self.array((self.length - 1,))
        above = self.base + 1 >> self.radix
        self.modulus[:] = [above >> self.radix * j & (1 << self.radix) - 1 for j in range(self.length - 1)]
        shape = (self.length, self.lanes)
        self.room = self.array(shape if parts == 1 else (2, *shape), np.uint64)
        self.places = np.array([1 << self.radix * at for at in range(self.length)], object)
        self.bounds = self.bounds_of_parts()

    def bounds_of_parts(self):
        """For each part, of what a product may be, and of what a factor may be."""
        if self.kind == np.uint64:
            return [(0, 2 * self.base)] * self.parts
        return [(-self.base, self.base), (-5 * self.base // 4, 5 * self.base // 4)][: self.parts]

    def array(self, shape, kind=None):
        return guarded(shape, kind or self.kind, self.end)

    def limbs(self, value, least=0):
        """Digits of at least `least`, but for the last one, which keeps the rest and the sign."""
        found = []
        for _ in range(self.length - 1):
            found.append((value - least) % (1 << self.radix) + least)
            value = value - found[-1] >> self.radix
        return [*found, value]

    def numbers(self, values, least=0):
        groups = self.array((-(-len(values) // self.lanes), self.parts * self.length, self.lanes))
        written = {part: self.limbs(part, least) for part in {part for value in values for part in value}}
        for at, value in enumerate(values):
            groups[at // self.lanes, :, at % self.lanes] = [x for part in value for x in written[part]]
        return groups

    def products(self, values):
        """As limbs of products: those of doubles are near zero."""
        return self.numbers(values, 0 if self.kind == np.uint64 else -(1 << self.radix - 1))

    def entered(self, value):
        """The parts of `value` * R."""
        return (value * self.r % self.n,) if self.parts == 1 else divmod(value * self.r % self.n, self.base)[::-1]

    def tuples(self, groups, count):
        numbers = groups.transpose(0, 2, 1).reshape(-1, self.parts, self.length)[:count]
        if self.kind == np.float64:
            assert (abs(numbers) < 2**53).all()
            numbers = numbers.astype(np.int64)
        return [*map(tuple, (numbers.astype(object) @ self.places).tolist())]  # of Python's integers

    def whole(self, value):
        return value[0] if self.parts == 1 else value[0] + value[1] * self.base

    def fits(self, value):
        return all(low <= part <= high for part, (low, high) in zip(value, self.bounds, strict=True))


def moduli(bits):
    """Without structure; all ones; all zeros but the ends."""
    top = 1 << (bits - 1)
    return {max(3, n | 1) for n in (pow(3, 10**4, top) | top, 2 * top - 1, top | 1)}


def adversarial(ring):
    """Factors: both ends of their range, limbs all ones or all zeros or farthest from zero, and one without structure.

    Of pairs, those with such parts that differ, and those with the ends in both.
    """
    low, high = ring.bounds[0]
    ones, half = (1 << ring.base.bit_length()) - 1, 1 << ring.radix - 1
    striped = sum((1 << ring.radix) - 1 << 2 * ring.radix * j for j in range(ring.length))
    far = sum(half << ring.radix * j for j in range(ring.length - 1))
    found = [0, 1, ring.base - 1, ring.base, low, low + 1, high - 1, high, ones >> 1, striped, ones & ~striped]
    found += [far, -far, far - 1, pow(7, 5000, ring.base)]
    found = [value for value in found if low <= value <= high]
    if ring.parts == 1:
        return [(value,) for value in found]
    (low0, high0), (low1, high1) = ring.bounds
    return [*zip(found, found[::-1], strict=True), *itertools.product((low0, 0, high0), (low1, 0, 1, high1))]


@both_forms
@every_kind
@pytest.mark.parametrize("end", [True, False], ids=["end", "start"])
@pytest.mark.parametrize("bits", SIZES)
def test_every_pair_of_adversarial_factors(bits, kind, end, parts):
    for n in moduli(bits):
        ring = Ring(n, kind, end, parts)
        values = adversarial(ring)
        pairs = [(a, b) for a in values for b in values]
        expected = [ring.whole(a) * ring.whole(b) for a, b in pairs]
        for make in (ring.numbers, ring.products):
            lefts, rights = (make(side) for side in zip(*pairs, strict=True))
            out = ring.array(lefts.shape)
            lanes.multiply(out, lefts, rights, ring.modulus, ring.room)
            for wanted, product in zip(expected, ring.tuples(out, len(pairs)), strict=True):
                assert (ring.whole(product) * ring.r - wanted) % ring.n == 0
                assert ring.fits(product)
            lanes.multiply(lefts, lefts, rights, ring.modulus, ring.room)  # in place
            np.testing.assert_array_equal(lefts, out)


@both_forms
@every_kind
@pytest.mark.parametrize("end", [True, False], ids=["end", "start"])
@pytest.mark.parametrize("bits", SIZES)
def test_every_square_of_an_adversarial_factor(bits, kind, end, parts):
    for n in moduli(bits):
        ring = Ring(n, kind, end, parts)
        values = adversarial(ring)
        factors = ring.products(values)
        out = ring.array(factors.shape)
        squares(out, factors, ring.modulus, ring.room)
        for value, square in zip(values, ring.tuples(out, len(values)), strict=True):
            assert (ring.whole(square) * ring.r - ring.whole(value) ** 2) % ring.n == 0
            assert ring.fits(square)
        squares(factors, factors, ring.modulus, ring.room)  # in place
        np.testing.assert_array_equal(factors, out)


@both_forms
@every_kind
def test_limbs_of_a_product_of_doubles_are_near_zero(kind, parts):
    """All but the last of a part: squares count on it, for they double limbs."""
    ring = Ring(max(moduli(1024)), kind, parts=parts)
    values = adversarial(ring)
    out = ring.numbers(values)
    lanes.multiply(out, out, out, ring.modulus, ring.room)
    found = out.reshape(len(out), parts, ring.length, ring.lanes)[:, :, :-1]
    least = 0 if kind == np.uint64 else -(1 << ring.radix - 1)
    assert found.min() >= least
    assert found.max() < least + (1 << ring.radix)


@both_forms
@every_kind
def test_a_single_group_of_rights_serves_all(kind, parts):
    ring = Ring((1 << 300) - 153, kind, parts=parts)
    lefts = ring.numbers([(pow(3, i, ring.base),) * parts for i in range(3 * ring.lanes)])
    right = ring.numbers([(7,) * parts] * ring.lanes)
    out, same = ring.array(lefts.shape), ring.array(lefts.shape)
    lanes.multiply(out, lefts, right, ring.modulus, ring.room)
    lanes.multiply(same, lefts, np.concatenate([right] * 3), ring.modulus, ring.room)
    np.testing.assert_array_equal(out, same)


@both_forms
@every_kind
@given(st.integers(1, 1 << 450), st.lists(st.integers(0), min_size=1, max_size=40), st.data())
def test_a_long_chain_of_products_keeps_its_range(kind, parts, half, factors, data):
    """What comes out goes in again, to be multiplied or squared."""
    ring = Ring(2 * half + 1, kind, parts=parts)
    total = tuple(data.draw(st.integers(low, high)) for low, high in ring.bounds)
    chain, expected, inverse = ring.numbers([total] * ring.lanes), ring.whole(total), pow(ring.r, -1, ring.n)
    for factor in factors:
        number = tuple((factor + place) % ring.base for place in range(parts))
        lanes.multiply(chain, chain, ring.numbers([number] * ring.lanes), ring.modulus, ring.room)
        lanes.multiply(chain, chain, chain, ring.modulus, ring.room)
        squares(chain, chain, ring.modulus, ring.room)
        expected = pow(pow(expected * ring.whole(number) * inverse, 2, ring.n) * inverse, 2, ring.n) * inverse
    found = ring.tuples(chain, ring.lanes)
    assert {(ring.whole(value) - expected) % ring.n for value in found} == {0}
    assert all(ring.fits(value) for value in found)


@every_kind
@pytest.mark.parametrize("bits", [2, 50, 415, 1024])
def test_a_fold_is_the_chain(bits, kind):
    ring = Ring(max(moduli(bits)), kind)
    values = [pow(5, i, ring.n) for i in range(5 * ring.lanes)]
    total = ring.numbers([(1,)] * ring.lanes)
    lanes.fold(total, ring.numbers([(value,) for value in values]), ring.modulus, ring.room)
    for lane, (found,) in enumerate(ring.tuples(total, ring.lanes)):
        expected = 1
        for value in values[lane :: ring.lanes]:
            expected = expected * value * pow(ring.r, -1, ring.n) % ring.n
        assert (found - expected) % ring.n == 0


@both_forms
@every_kind
@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("bits", [3, 51, 521])
def test_power(bits, width, kind, parts):
    ring = Ring(max(moduli(bits)), kind, parts=parts)
    values = [ring.whole(value) % ring.n for value in adversarial(ring)]
    exponent = pow(3, 50, 1 << 77)
    digits = ring.array((-(-77 // width),), np.int64)
    digits[::-1] = [exponent >> at & (1 << width) - 1 for at in range(0, 77, width)]
    groups = ring.products([ring.entered(value) for value in values])
    table, chosen = (ring.array((count, *groups.shape[1:])) for count in (1 << width, 1))
    table[0] = ring.products([ring.entered(1)] * ring.lanes)[0]
    bits, chosen_bits = (array.view(np.uint64).reshape(len(array), -1) for array in (table, chosen))
    lanes.power(groups, digits, width, table, bits, chosen, chosen_bits[0], ring.modulus, ring.room)
    for value, found in zip(values, ring.tuples(groups, len(values)), strict=True):
        assert (ring.whole(found) - pow(value, exponent, ring.n) * ring.r) % ring.n == 0


@both_forms
@every_kind
@pytest.mark.parametrize("end", [True, False], ids=["end", "start"])
@pytest.mark.parametrize(("width", "rows"), [(1, 3), (2, 5), (3, 10), (5, 4), (9, 2)])
@pytest.mark.parametrize("bits", [3, 51, 521])
@pytest.mark.parametrize("count", [1, 13])
def test_fixed_power(bits, width, rows, kind, end, parts, count):
    ring = Ring(max(moduli(bits)), kind, end, parts)
    base = pow(3, 1000, ring.n)
    starts = ring.numbers([ring.entered(pow(base, 1 << row * width, ring.n)) for row in range(rows)])
    one, size = ring.numbers([ring.entered(1)] * ring.lanes), parts * ring.length
    chunks, blocks = -(-size // lanes.CHUNK), -(-(1 << width) // lanes.BLOCK)
    table, current = ring.array((rows, chunks, blocks, 2 * lanes.CHUNK, lanes.BLOCK), np.uint32), ring.array(one.shape)
    lanes.fill(table, one, starts, current, ring.modulus, ring.room)
    halves = table.reshape(rows, chunks, blocks, lanes.CHUNK, 2, lanes.BLOCK).transpose(0, 2, 5, 1, 3, 4)
    entries = np.ascontiguousarray(halves).view(ring.kind).reshape(rows, blocks * lanes.BLOCK, -1)
    assert not entries[:, :, size:].any()
    for row, digit in itertools.product(range(rows), range(1 << width)):
        (number,) = ring.tuples(entries[row : row + 1, digit, :size].reshape(1, size, 1), 1)
        assert (ring.whole(number) - pow(base, digit << row * width, ring.n) * ring.r) % ring.n == 0
    top = (1 << rows * width) - 1
    exponents = [top, 0, 1, top // 3, top ^ top // 3, *(pow(5, i, top + 1) for i in range(11))][:count]
    size = -(-rows * width // 8)
    data = ring.array((-(-count // lanes.EIGHT) * lanes.EIGHT, size + 2), np.uint8)
    data[:count, :size] = [list(exponent.to_bytes(size, "little")) for exponent in exponents]
    out = ring.array((-(-count // ring.lanes), *one.shape[1:]))
    chosen = ring.array((lanes.EIGHT // ring.lanes, chunks * lanes.CHUNK, ring.lanes))
    indices = ring.array((blocks, lanes.EIGHT), np.int32)
    lanes.fixed_power(out, table, data, width, indices, chosen, ring.modulus, ring.room)
    for exponent, found in zip(exponents, ring.tuples(out, count), strict=True):
        assert (ring.whole(found) - pow(base, exponent, ring.n) * ring.r) % ring.n == 0


def words_of(ring, values):
    """Two's complements."""
    size = ring.base.bit_length() // 64 + 1
    words = ring.array((len(values), size), np.uint64)
    for row, value in zip(words, values, strict=True):
        row[:] = [value >> 64 * at & (1 << 64) - 1 for at in range(size)]
    return words


@pytest.mark.parametrize("end", [True, False], ids=["end", "start"])
@pytest.mark.parametrize("bits", SIZES)
def test_the_first_that_is_not_below(bits, end):
    for n in moduli(bits):
        ring = Ring(n, KINDS[0], end)
        below, above = [0, 1, n - 2, n - 1, n >> 64], [n, n + 1, (1 << bits + 1) - 1, n | 1 << bits]
        for values in (below, *([*below[:at], large] for at in range(5) for large in above)):
            words, bound = words_of(ring, values), words_of(ring, [n])[0]
            assert limbs.first_not_below(words, bound) == (5 if values is below else len(values) - 1)


@both_forms
@every_kind
@pytest.mark.parametrize("end", [True, False], ids=["end", "start"])
@pytest.mark.parametrize("bits", SIZES)
def test_words_to_limbs_and_back(bits, kind, end, parts):
    for n in moduli(bits):
        ring = Ring(n, kind, end, parts)
        values = [value for value in adversarial(ring) if all(abs(part) <= ring.base for part in value)]
        words = words_of(ring, [part for value in values for part in value]).reshape(len(values), parts, -1)
        out = ring.array(words.shape, np.uint64)
        for groups in (ring.numbers(values), ring.products(values)):
            limbs.join(groups, out, ring.radix)
            np.testing.assert_array_equal(out, words)
        natural = [value for value in values if min(value) >= 0]
        groups = ring.numbers(natural)
        groups.fill(1)
        limbs.split(words[[values.index(value) for value in natural]], groups, ring.radix)
        np.testing.assert_array_equal(groups, ring.numbers(natural))
