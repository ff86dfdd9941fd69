"""GF(2**61 - 1) agrees with Python's integers, at the edges of a limb above all."""

import itertools

import naive
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from secagg.kernels import field

P = naive.P
EDGES = [
    0,
    1,
    2,
    3,
    P - 1,
    P - 2,
    P // 2,
    P // 2 + 1,
    2**60,
    2**60 - 1,
    2**32,
    2**32 - 1,
    2**31,
    0x1555555555555555,
]
elements = st.integers(0, P - 1) | st.sampled_from(EDGES)
points = st.integers(1, 2**32) | st.sampled_from([1, 2, 2**32, P - 1])
CANARY = np.uint64(0xA5A5A5A5A5A5A5A5)


def check_pair(a, b):
    x, y = np.uint64(a), np.uint64(b)
    assert field.multiply(x, y) == a * b % P
    assert field.add(x, y) == (a + b) % P
    assert field.subtract(x, y) == (a - b) % P


def test_every_pair_of_edges():
    for a, b in itertools.product(EDGES, repeat=2):
        check_pair(a, b)


@given(elements, elements)
def test_any_pair(a, b):
    check_pair(a, b)


@given(elements)
def test_inverse(a):
    assert field.inverse(np.uint64(a)) == (pow(a, -1, P) if a else 0)


@given(st.data(), st.integers(1, 6))
def test_evaluate(data, terms):
    m, limbs = data.draw(st.integers(0, 3)), data.draw(st.integers(1, 5))
    flat = data.draw(st.lists(elements, min_size=m * limbs * terms, max_size=m * limbs * terms))
    coefficients = np.array(flat, np.uint64).reshape(m, limbs, terms)
    xs = data.draw(st.lists(points, max_size=5))
    room = np.full(len(xs) * m * limbs + 8, CANARY)
    out = room[4:-4].reshape(len(xs), m, limbs)
    field.evaluate(coefficients, np.array(xs, np.uint64), out)
    expected = [[[naive.evaluate(row, x) for row in secret] for secret in coefficients] for x in xs]
    assert out.tolist() == expected
    assert (room[:4] == CANARY).all()
    assert (room[-4:] == CANARY).all()


@given(st.lists(st.lists(points, min_size=4, max_size=4, unique=True), max_size=4))
def test_lagrange(rows):
    weights = field.lagrange_at_zero(np.array(rows, np.uint64).reshape(-1, 4))
    assert weights.tolist() == [naive.lagrange_at_zero(row) for row in rows]


@given(st.data(), st.integers(0, 3), st.integers(1, 5), st.integers(1, 5))
def test_combine(data, s, t, limbs):
    weights = data.draw(st.lists(elements, min_size=s * t, max_size=s * t))
    values = data.draw(st.lists(elements, min_size=s * t * limbs, max_size=s * t * limbs))
    w, v = np.array(weights, np.uint64).reshape(s, t), np.array(values, np.uint64).reshape(s, t, limbs)
    expected = (w[:, :, None].astype(object) * v).sum(axis=1) % P
    assert field.combine(w, v).tolist() == expected.tolist()


@given(st.data(), st.integers(1, 7))
def test_interpolation_undoes_evaluation(data, terms):
    flat = data.draw(st.lists(elements, min_size=terms, max_size=terms))
    xs = data.draw(st.lists(points, min_size=terms, max_size=terms, unique=True))
    out = np.empty((terms, 1, 1), np.uint64)
    field.evaluate(np.array(flat, np.uint64).reshape(1, 1, terms), np.array(xs, np.uint64), out)
    weights = field.lagrange_at_zero(np.array([xs], np.uint64))
    assert field.combine(weights, out.reshape(1, terms, 1)).tolist() == [[flat[0]]]
