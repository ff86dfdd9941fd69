"""Montgomery products in lanes against Python's integers: every size, adversarial limbs, and no byte too far."""

import numpy as np
import pytest
from guarded import guarded
from hypothesis import given
from hypothesis import strategies as st

from secagg.kernels import montgomery
from secagg.kernels.montgomery import lanes, limbs

if not montgomery.IMPLEMENTATIONS:
    pytest.skip("this processor has neither fused multiply-add nor IFMA", allow_module_level=True)

KINDS = list(montgomery.IMPLEMENTATIONS.values())
SIZES = [2, 3, 8, 31, 48, 49, 50, 51, 52, 53, 63, 64, 65, 127, 395, 398, 399, 400, 413, 414, 415, 521, 1024, 2047, 4097]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=list(montgomery.IMPLEMENTATIONS))


class Ring:
    """n and all that a kernel wants to know about it, in arrays between guard pages."""

    def __init__(self, n, kind, end=True):
        multiplier = lanes.MULTIPLIERS[str(kind)]
        self.n, self.kind, self.end, self.radix, self.lanes = n, kind, end, multiplier.radix, multiplier.lanes
        self.length = max(lanes.LEAST, 2 * -(-(n.bit_length() + 2) // (2 * self.radix)))
        self.r = 1 << self.radix * self.length
        self.modulus = self.array((self.length + 1,))
        self.modulus[:-1] = [n >> at & (1 << self.radix) - 1 for at in range(0, self.radix * self.length, self.radix)]
        self.modulus[-1] = -pow(n, -1, 1 << self.radix) % (1 << self.radix)
        self.room = self.array((self.length, self.lanes), np.uint64)

    def array(self, shape, kind=None):
        return guarded(shape, kind or self.kind, self.end)

    def numbers(self, values):
        """Python's integers, of either sign, as limbs."""
        groups = self.array((-(-len(values) // self.lanes), self.length, self.lanes))
        for at, value in enumerate(values):
            for j in range(self.length - 1):
                groups[at // self.lanes, j, at % self.lanes] = value >> self.radix * j & (1 << self.radix) - 1
            groups[at // self.lanes, -1, at % self.lanes] = value >> self.radix * (self.length - 1)
        return groups

    def integers(self, groups, count):
        """Limbs of either sign as Python's integers."""
        numbers = groups.transpose(0, 2, 1).reshape(-1, self.length)[:count]
        return [sum(int(limb) << self.radix * j for j, limb in enumerate(number)) for number in numbers]

    @property
    def bounds(self):
        """Of what a product may be, and of what a factor may be."""
        return (0, 2 * self.n) if self.kind == np.uint64 else (-self.n, self.n)


def moduli(bits):
    """Without structure; all ones; all zeros but the ends."""
    top = 1 << (bits - 1)
    return {max(3, n | 1) for n in (pow(3, 10**4, top) | top, 2 * top - 1, top | 1)}


def adversarial(ring):
    """Factors: both ends of their range, limbs all ones or all zeros, and one without structure."""
    low, high = ring.bounds
    ones = (1 << ring.n.bit_length()) - 1
    striped = sum((1 << ring.radix) - 1 << 2 * ring.radix * j for j in range(ring.length))
    found = [0, 1, ring.n - 1, ring.n, low + 1, high - 1, ones >> 1, striped, ones & ~striped, pow(7, 5000, ring.n)]
    return [value for value in found if low <= value <= high]


@every_kind
@pytest.mark.parametrize("end", [True, False], ids=["end", "start"])
@pytest.mark.parametrize("bits", SIZES)
def test_every_pair_of_adversarial_factors(bits, kind, end):
    for n in moduli(bits):
        ring = Ring(n, kind, end)
        pairs = [(a, b) for a in adversarial(ring) for b in adversarial(ring)]
        lefts, rights = (ring.numbers(side) for side in zip(*pairs, strict=True))
        out = ring.array(lefts.shape)
        lanes.multiply(out, lefts, rights, ring.modulus, ring.room)
        products = ring.integers(out, len(pairs))
        low, high = ring.bounds
        for (a, b), product in zip(pairs, products, strict=True):
            assert (product * ring.r - a * b) % n == 0
            assert low <= product <= high
        lanes.multiply(lefts, lefts, rights, ring.modulus, ring.room)  # in place
        np.testing.assert_array_equal(lefts, out)


@every_kind
def test_a_single_group_of_rights_serves_all(kind):
    ring = Ring((1 << 300) - 153, kind)
    lefts, right = ring.numbers([pow(3, i, ring.n) for i in range(3 * ring.lanes)]), ring.numbers([7] * ring.lanes)
    out, same = ring.array(lefts.shape), ring.array(lefts.shape)
    lanes.multiply(out, lefts, right, ring.modulus, ring.room)
    lanes.multiply(same, lefts, np.concatenate([right] * 3), ring.modulus, ring.room)
    np.testing.assert_array_equal(out, same)


@every_kind
@given(st.integers(1, 1 << 450), st.lists(st.integers(0), min_size=1, max_size=40), st.data())
def test_a_long_chain_of_products_keeps_its_range(kind, half, factors, data):
    """What comes out goes in again."""
    ring = Ring(2 * half + 1, kind)
    low, high = ring.bounds
    total = data.draw(st.integers(low, high))
    chain, expected = ring.numbers([total] * ring.lanes), total
    for factor in factors:
        lanes.multiply(chain, chain, ring.numbers([factor % ring.n] * ring.lanes), ring.modulus, ring.room)
        lanes.multiply(chain, chain, chain, ring.modulus, ring.room)
        expected = pow(expected * factor * pow(ring.r, -1, ring.n), 2, ring.n) * pow(ring.r, -1, ring.n)
    found = ring.integers(chain, ring.lanes)
    assert {(value - expected) % ring.n for value in found} == {0}
    assert all(low <= value <= high for value in found)


@every_kind
@pytest.mark.parametrize("bits", [2, 50, 415, 1024])
def test_a_fold_is_the_chain(bits, kind):
    ring = Ring(max(moduli(bits)), kind)
    values = [pow(5, i, ring.n) for i in range(5 * ring.lanes)]
    total = ring.numbers([1] * ring.lanes)
    lanes.fold(total, ring.numbers(values), ring.modulus, ring.room)
    for lane, found in enumerate(ring.integers(total, ring.lanes)):
        expected = 1
        for value in values[lane :: ring.lanes]:
            expected = expected * value * pow(ring.r, -1, ring.n) % ring.n
        assert (found - expected) % ring.n == 0


@every_kind
@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("bits", [3, 51, 521])
def test_power(bits, width, kind):
    ring = Ring(max(moduli(bits)), kind)
    values = [value % ring.n for value in adversarial(ring)]
    exponent = pow(3, 50, 1 << 77)
    digits = ring.array((-(-77 // width),), np.int64)
    digits[::-1] = [exponent >> at & (1 << width) - 1 for at in range(0, 77, width)]
    table, chosen = (ring.array((count, ring.length, ring.lanes)) for count in (1 << width, 1))
    table[0] = ring.numbers([ring.r % ring.n] * ring.lanes)[0]
    groups = ring.numbers([value * ring.r % ring.n for value in values])
    views = table, table.view(np.uint64), chosen, chosen.view(np.uint64)
    lanes.power(groups, digits, width, *views, ring.modulus, ring.room)
    for value, found in zip(values, ring.integers(groups, len(values)), strict=True):
        assert (found - pow(value, exponent, ring.n) * ring.r) % ring.n == 0


@every_kind
@pytest.mark.parametrize("end", [True, False], ids=["end", "start"])
@pytest.mark.parametrize(("width", "rows"), [(1, 3), (3, 10), (5, 4), (9, 2)])
@pytest.mark.parametrize("bits", [3, 51, 521])
def test_fixed_power(bits, width, rows, kind, end):
    ring = Ring(max(moduli(bits)), kind, end)
    base = pow(3, 1000, ring.n)
    starts = [pow(base, 1 << row * width, ring.n) * ring.r % ring.n for row in range(rows)]
    one = ring.numbers([ring.r % ring.n] * ring.lanes)
    chunks = -(-ring.length // lanes.CHUNK)
    table = ring.array((rows, chunks, 1 << width, lanes.CHUNK))
    lanes.fill(table, one, ring.numbers(starts), ring.array(one.shape), ring.modulus, ring.room)
    for row in range(rows):
        for digit in range(1 << width):
            entry = table[row, :, digit].reshape(-1)
            number = sum(int(limb) << ring.radix * j for j, limb in enumerate(entry))
            assert not entry[ring.length :].any()
            assert (number - pow(base, digit << row * width, ring.n) * ring.r) % ring.n == 0
    top = (1 << rows * width) - 1
    exponents = [0, 1, top, top // 3, top ^ top // 3, *(pow(5, i, top + 1) for i in range(2 * ring.lanes - 5))]
    size = -(-rows * width // 8)
    data = ring.array((len(exponents), size + 2), np.uint8)
    data[:, :size] = [list(exponent.to_bytes(size, "little")) for exponent in exponents]
    out, chosen = ring.array((2, ring.length, ring.lanes)), ring.array((1, chunks * lanes.CHUNK, ring.lanes))
    lanes.fixed_power(out, table, data, width, ring.array((ring.lanes,), np.int64), chosen, ring.modulus, ring.room)
    for exponent, found in zip(exponents, ring.integers(out, len(exponents)), strict=True):
        assert (found - pow(base, exponent, ring.n) * ring.r) % ring.n == 0


def words_of(ring, values):
    size = ring.n.bit_length() // 64 + 1
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


@every_kind
@pytest.mark.parametrize("end", [True, False], ids=["end", "start"])
@pytest.mark.parametrize("bits", SIZES)
def test_words_to_limbs_and_back(bits, kind, end):
    for n in moduli(bits):
        ring = Ring(n, kind, end)
        low = ring.bounds[0] // (2 if ring.bounds[0] == 0 else 1)
        values = [value for value in adversarial(ring) if low <= value <= n]
        out = ring.array((len(values), n.bit_length() // 64 + 1), np.uint64)
        limbs.join(ring.numbers(values), out, words_of(ring, [n])[0], ring.radix)
        np.testing.assert_array_equal(out, words_of(ring, [value % n for value in values]))
        groups = ring.numbers(values)
        groups.fill(1)
        limbs.split(out, groups, ring.radix)
        np.testing.assert_array_equal(groups, ring.numbers([value % n for value in values]))
