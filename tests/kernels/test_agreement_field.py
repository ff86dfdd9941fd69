"""Arithmetic mod 2**255 - 19 on limbs as large as a kernel lets them grow, against Python's integers."""

from itertools import product

import ifma
import numpy as np
import pytest
from derivation import P
from numba import njit

from secagg.kernels import agreement
from secagg.kernels._memory import aligned
from secagg.kernels.agreement import x25519

A24 = 121665
SLACK = 2**17
SIGNED = (0, 1, -1, 2**50 + SLACK, -(2**50) - SLACK)
UNSIGNED = (0, 1, 2**51 - 1, 2**51 + SLACK)


class Bench:
    """Elements in a room of `lanes`, as lists of signed limbs, one list a lane."""

    def __init__(self, lanes):
        self.lanes = tuple(range(lanes))
        self.is_real = x25519.FIELDS[lanes].half > 0
        self.largest = (2**50 if self.is_real else 2**51) + SLACK
        self.room = aligned((x25519.ROWS, lanes), np.uint64)

    def rows(self, element):
        rows = self.room[5 * element : 5 * element + 5]
        return rows.view(np.float64) if self.is_real else rows.view(np.int64)

    def put(self, element, values):
        self.rows(element)[:] = np.array(values).T

    def take(self, element):
        """Residues, of limbs that lie within the bounds."""
        limbs = self.rows(element)
        assert (np.abs(limbs) <= self.largest).all()
        assert self.is_real or (limbs >= 0).all()
        return [residue(limbs[:, lane].tolist()) for lane in self.lanes]


def residue(limbs):
    return sum(int(limb) << 51 * place for place, limb in enumerate(limbs)) % P


@njit
def multiply(room, lanes):
    x25519._multiply(room, 8, 6, 7, lanes)
    x25519._square(room, 9, 6, 0, lanes)


@njit
def step(room, row, shift, lanes):
    x25519._step(room, row, shift, 0, lanes)


@njit
def to_integers(room, lanes):
    x25519._to_integers(room, 8, 0, 0, lanes)
    x25519._from_integers(room, 9, 0, 0, lanes)


@pytest.fixture(scope="module", params=[4, 8])
def bench(request):
    if request.param == 4:
        if "avx2" not in agreement.IMPLEMENTATIONS:
            pytest.skip("no AVX2 and FMA")
        yield Bench(4)
    elif "ifma" in agreement.IMPLEMENTATIONS:
        yield Bench(8)
    else:
        with ifma.emulated():
            yield Bench(8)


def elements(bench, seed):
    """Lanes of extreme limbs: each alone, all alike, alternating, and drawn."""
    values = SIGNED if bench.is_real else UNSIGNED
    alike = [[value] * 5 for value in values]
    alone = [[value if place == at else 0 for place in range(5)] for value in values for at in range(5)]
    mixed = [[one, other, one, other, one] for one, other in product(values, repeat=2)]
    draw = np.random.default_rng(seed)
    drawn = [[values[i] for i in draw.integers(0, len(values), 5)] for _ in range(200)]
    wrapped = [[x + y for x, y in zip(limbs(P), (0,) * 5, strict=True)], limbs(P - 1), limbs(2**255 - 1), limbs(19)]
    if bench.is_real:
        wrapped = [[limb - 2**50 for limb in value] for value in wrapped]
    found = [*alike, *alone, *mixed, *wrapped, *drawn]
    draw.shuffle(found)
    width = len(bench.lanes)
    return [found[at : at + width] for at in range(0, len(found) - width + 1, width)]


def limbs(value):
    return [value >> 51 * place & 2**51 - 1 for place in range(5)]


def test_products_and_squares(bench):
    for x, y in zip(elements(bench, 1), elements(bench, 2), strict=True):
        bench.put(6, x)
        bench.put(7, y)
        multiply(bench.room, bench.lanes)
        xs, ys = [residue(lane) for lane in x], [residue(lane) for lane in y]
        assert bench.take(8) == [a * b % P for a, b in zip(xs, ys, strict=True)]
        assert bench.take(9) == [a * a % P for a in xs]


def test_every_product_of_limbs_that_are_all_extreme(bench):
    values = SIGNED if bench.is_real else UNSIGNED
    for one, other in product(values, repeat=2):
        bench.put(6, [[one] * 5] * len(bench.lanes))
        bench.put(7, [[other] * 5] * len(bench.lanes))
        multiply(bench.room, bench.lanes)
        expected = residue([one] * 5) * residue([other] * 5) % P
        assert bench.take(8) == [expected] * len(bench.lanes)


def test_steps_of_the_ladder(bench):
    """On any five elements and any bits, whether or not they are a ladder's."""
    width, draw = len(bench.lanes), np.random.default_rng(3)
    for inputs in zip(*(elements(bench, seed) for seed in range(10, 15)), strict=True):
        for element, value in enumerate(inputs):
            bench.put(element, value)
        shift = int(draw.integers(0, 64))
        bits = draw.integers(0, 2, width)
        words = draw.integers(0, 2**64, width, np.uint64) & ~np.uint64(1 << (63 - shift))
        row = 5 * x25519.BITS
        bench.room[row] = words | bits.astype(np.uint64) << np.uint64(63 - shift)
        step(bench.room, row, shift, bench.lanes)
        expected = [stepped(*(residue(x[lane]) for x in inputs), bool(bits[lane])) for lane in range(width)]
        assert list(zip(*(bench.take(element) for element in range(4)), strict=True)) == expected


def stepped(a, b, c, d, u, swap):
    """RFC 7748, 5, from the sums and differences (a, b) and (c, d) of two points' coordinates."""
    da, cb = d * a, c * b
    x3, z3 = (da + cb) ** 2, u * (da - cb) ** 2
    if swap:
        a, b = c, d
    aa, bb = a * a, b * b
    e = aa - bb
    x2, z2 = aa * bb, e * (aa + A24 * e)
    return tuple(value % P for value in (x2 + z2, x2 - z2, x3 + z3, x3 - z3))


def test_integers_there_and_back(bench):
    for x in elements(bench, 4):
        bench.put(8, x)
        to_integers(bench.room, bench.lanes)
        xs = [residue(lane) for lane in x]
        assert bench.take(9) == xs
        for lane in bench.lanes:
            x25519._canonical(bench.room.view(np.int64), lane)
        integers = bench.room[5 * x25519.INTEGERS : 5 * x25519.INTEGERS + 5].T.tolist()
        assert integers == [limbs(value) for value in xs]
