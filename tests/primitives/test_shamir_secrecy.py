"""Fewer than t shares carry no information.

Three steps. (1) Over GF(11) everything can be enumerated: whatever the secret, any t - 1 shares take each
value equally often. (2) Over GF(2**61 - 1) the same by algebra: t - 1 shares and any candidate secret fit
exactly one polynomial. (3) `split` deals values of a polynomial whose coefficients are the words of its entropy,
one to one, so they are uniform and independent when the entropy is.
"""

import hashlib
import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.primitives import shamir

P = 2**61 - 1


def deal(coefficients, x, prime):
    """The twin of `split`: one polynomial, constant term first, at one point."""
    return sum(c * pow(x, j, prime) for j, c in enumerate(coefficients)) % prime


@pytest.mark.parametrize("t", [1, 2, 3])
@pytest.mark.parametrize("points", [(1, 2, 3, 4), (1, 5, 7, 10)])
def test_every_view_of_t_minus_1_holders_is_uniform_over_gf_11(t, points):
    for holders in itertools.combinations(points, t - 1):
        for secret in range(11):
            views = Counter(
                tuple(deal((secret, *random), x, 11) for x in holders)
                for random in itertools.product(range(11), repeat=t - 1)
            )
            assert views == dict.fromkeys(itertools.product(range(11), repeat=t - 1), 1)


def solve(points, values, prime):
    """Coefficients of the one polynomial of degree < len(points) through all points, by Gauss-Jordan.

    Fails where the Vandermonde matrix is singular, that is where there is not exactly one.
    """
    n = len(points)
    rows = [[pow(x, j, prime) for j in range(n)] + [y] for x, y in zip(points, values, strict=True)]
    for column in range(n):
        pivot = next(r for r in range(column, n) if rows[r][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        scale = pow(rows[column][column], -1, prime)
        rows[column] = [entry * scale % prime for entry in rows[column]]
        for r in range(n):
            if r != column and rows[r][column]:
                factor = rows[r][column]
                rows[r] = [(a - factor * b) % prime for a, b in zip(rows[r], rows[column], strict=True)]
    return [row[-1] for row in rows]


def entropy(seed):
    return lambda n: hashlib.shake_128(repr(seed).encode()).digest(n)


@given(st.data())
def test_t_minus_1_shares_and_any_secret_fit_exactly_one_polynomial(data):
    holders = data.draw(st.lists(st.integers(1, 2**32), min_size=2, max_size=6, unique=True))
    t = data.draw(st.integers(2, len(holders)))
    secret = data.draw(st.binary(min_size=32, max_size=32))
    candidate = data.draw(st.binary(min_size=32, max_size=32))
    shares = shamir.split(np.frombuffer(secret, np.uint8)[None], holders, t, entropy(candidate))
    seen = holders[: t - 1]
    for limb in range(shamir.LIMBS):
        values = [int(shares[h][0, limb]) for h in seen]
        guess = int.from_bytes(candidate[7 * limb : 7 * limb + 7], "little")
        coefficients = solve([0, *seen], [guess, *values], P)
        assert [deal(coefficients, x, P) for x in [0, *seen]] == [guess, *values]
        truth = int.from_bytes(secret[7 * limb : 7 * limb + 7], "little")
        dealt = solve([0, *seen], [truth, *values], P)
        assert [deal(dealt, x, P) for x in holders] == [int(shares[h][0, limb]) for h in holders]


@given(st.integers(1, 5), st.integers(1, 3), st.integers())
def test_the_coefficients_are_the_words_of_the_entropy(t, m, seed):
    drawn = []

    def recorded(n):
        drawn.append(entropy(seed)(n))
        return drawn[-1]

    secret = np.frombuffer(entropy("secret")(32 * m), np.uint8).reshape(m, 32)
    holders = [2, 3, 5, 7, 2**32]
    shares = shamir.split(secret, holders, t, recorded)
    assert [len(d) for d in drawn] == [8 * m * 5 * (t - 1)]
    words = iter(np.frombuffer(drawn[0], "<u8").tolist())
    for i, limb in itertools.product(range(m), range(5)):
        constant = int.from_bytes(secret[i].tobytes()[7 * limb : 7 * limb + 7], "little")
        polynomial = [constant, *(next(words) % 2**61 for _ in range(t - 1))]
        assert [int(shares[h][i, limb]) for h in holders] == [deal(polynomial, h, P) for h in holders]
    assert next(words, None) is None


def test_a_word_that_reads_p_is_drawn_anew():
    """61 bits have one value too many: kept, it would make zero twice as likely."""
    words = [2**61 - 1, 5, 2**64 - 1, 6, 7, 2**62 - 1, 8]  # two of five read p, then one of two
    stream = iter(b"".join(word.to_bytes(8, "little") for word in [*words, 9, 10, 11]))
    asked = []

    def scripted(n):
        asked.append(n)
        return bytes(next(stream) for _ in range(n))

    share = shamir.split(np.zeros((1, 32), np.uint8), [1], 1, scripted)[1]
    assert not share.any()
    assert asked == [0]
    asked.clear()
    shares = shamir.split(np.zeros((1, 32), np.uint8), [1, 2], 2, scripted)
    assert asked == [40, 16, 8]
    assert shares[1][0].tolist() == [9, 5, 8, 6, 7]
