"""The transform agrees with its definition, the values at odd powers of a root, and turns products into products."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.kernels import ntt

# (N, q, psi): psi ** N = -1 mod q. The last q is close to the kernel's limit of 61 bits.
RINGS = [(4, 17, 2), (8, 97, 19), (8, 12289, 7311), (4, 2305843009213693921, 0)]


def primitive_root(size, q):
    """Some psi of order 2 * size, found by trial."""
    candidates = (pow(base, (q - 1) // (2 * size), q) for base in range(2, q))
    return next(root for root in candidates if pow(root, size, q) == q - 1)


def ring(size, q, psi):
    return size, q, psi if psi and pow(psi, size, q) == q - 1 else primitive_root(size, q)


SOUND = [ring(*each) for each in RINGS]


def bit_reversed(i, size):
    return int(f"{i:0{size.bit_length() - 1}b}"[::-1], 2)


def tables(size, q, psi):
    """(roots, quotients) of both directions, from the docstrings."""
    forward = [pow(psi, bit_reversed(i, size), q) for i in range(size)]
    inverse = [pow(root, -1, q) for root in forward]
    inverse[0] = pow(size, -1, q)
    return [(np.array(t, np.uint64), np.array([(f << 64) // q for f in t], np.uint64)) for t in (forward, inverse)]


def transformed(rows, size, q, psi):
    values = np.array(rows, np.uint64)
    ntt.forward(values, *tables(size, q, psi)[0], np.uint64(q))
    return values


def restored(values, size, q, psi):
    values = values.copy()
    ntt.inverse(values, *tables(size, q, psi)[1], np.uint64(q))
    return values.tolist()


rows = st.integers(0, len(SOUND) - 1).flatmap(
    lambda i: st.tuples(
        st.just(SOUND[i]),
        st.lists(
            st.lists(
                st.integers(0, SOUND[i][1] - 1) | st.sampled_from([0, 1, SOUND[i][1] - 1]),
                min_size=SOUND[i][0],
                max_size=SOUND[i][0],
            ),
            min_size=2,
            max_size=2,
        ),
    )
)


@given(rows)
def test_values_at_the_roots(case):
    (size, q, psi), polynomials = case
    expected = [naive.negacyclic_transform(row, q, psi) for row in polynomials]
    assert transformed(polynomials, size, q, psi).tolist() == expected


@given(rows)
def test_the_inverse_restores(case):
    kind, polynomials = case
    assert restored(transformed(polynomials, *kind), *kind) == polynomials


@given(rows)
def test_products_of_values_are_negacyclic_products(case):
    (size, q, psi), (a, b) = case
    left, right = transformed([a, b], size, q, psi).tolist()
    product = np.array([[x * y % q for x, y in zip(left, right, strict=True)]], np.uint64)
    assert restored(product, size, q, psi) == [naive.negacyclic_product(a, b, q)]


@pytest.mark.parametrize("fill", [0, 1, -1])
def test_edges_of_the_largest_modulus(fill):
    size, q, psi = SOUND[-1]
    assert q.bit_length() == ntt.MAX_MODULUS_BITS
    row = [fill % q] * size
    assert transformed([row], size, q, psi).tolist() == [naive.negacyclic_transform(row, q, psi)]
    assert restored(transformed([row], size, q, psi), size, q, psi) == [row]
