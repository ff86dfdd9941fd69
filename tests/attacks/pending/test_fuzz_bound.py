"""`Aggregate.error_bound` is a promise, and it is false where the clip is beyond what the update's own dtype holds:
the mean ends at the dtype's edge, and the bound says nothing of that. Whoever names the clip (the server) or sends
updates in a wider dtype than the session's gets a mean that is wrong by any factor, and a bound that calls it right.

Against exact arithmetic, over sessions drawn at random: of the entries whose clip the dtype holds, none is off by more
than its bound; of the others many are.

Closed when: such a clip is refused by `Session.create`, or its bound covers the edge: no entry at all is outside.
"""

from fractions import Fraction

import numpy as np
import pytest

from secagg.scheme import Session
from secagg.testing import SeededEntropy

DTYPES = [np.float16, np.float32, np.float64, np.longdouble]
EXPONENTS = [-280, -100, -20, -3, 0, 0, 1, 3, 20, 100, 279.9]
SCALES = [0, 0, 0, -3, 3, -300]


def exact(x):
    high = float(x)
    return Fraction(high) + Fraction(float(x - type(x)(high)))


def drawn_session(draw):
    dim, dtype = int(draw.integers(1, 6)), DTYPES[draw.integers(4)]
    exponent = draw.choice(EXPONENTS) if draw.random() < 0.7 else draw.uniform(-280, 280)
    clip = np.full(dim, 10.0**exponent) * (draw.uniform(0.5, 1, dim) if draw.random() < 0.3 else 1)
    clip = np.clip(clip, 1e-280, 1e280)
    session = Session.create(
        range(int(draw.integers(2, 7))),
        np.zeros(dim, dtype),
        bits=int(draw.integers(2, 33)),
        clip=clip,
        weight_max=None if draw.random() < 0.4 else int(2 ** draw.uniform(0, 48)),
        rounding=["nearest", "stochastic"][draw.integers(2)],
    )
    return session, dtype, clip


def drawn_update(draw, clip, dtype):
    """Entries around the clip and far from it, in any dtype; none that is not finite."""
    wide = draw.uniform(-1.3, 1.3, clip.size) * clip.astype(np.longdouble)
    with np.errstate(all="ignore"):
        update = (wide * np.longdouble(10.0) ** draw.choice(SCALES)).astype(dtype)
    return np.where(np.isfinite(update), update, dtype(1)).astype(dtype)


def outside(session, clip, inputs):
    """Of each entry, whether the mean of (update, weight) pairs is off by more than its bound."""
    entropy = SeededEntropy("bound")
    vectors = [session.encoding.encode(update, weight, entropy) for update, weight in inputs]
    total = session.ring.reduce(np.sum(vectors, axis=0, dtype=vectors[0].dtype))
    found = session.encoding.decode(total, len(inputs))
    bounds = np.broadcast_to(np.asarray(found.error_bound, float), clip.shape)
    weights = sum(weight for _, weight in inputs)
    wrong = []
    for at, most in enumerate(clip):
        edge = Fraction(float(most))
        clipped = sum(weight * max(-edge, min(edge, exact(update[at]))) for update, weight in inputs)
        wrong.append(abs(exact(found.mean[at]) - clipped / weights) > Fraction(float(bounds[at])))
    return wrong


def test_the_bound_is_false_where_the_dtype_ends_before_the_clip_and_nowhere_else():
    draw, held, beyond = np.random.default_rng(0), [], []
    for _ in range(600):
        session, dtype, clip = drawn_session(draw)
        most = session.encoding.weight_max
        given = dtype if draw.random() < 0.7 else DTYPES[draw.integers(4)]
        weights = [1 if most is None else int(draw.integers(1, most + 1)) for _ in session.parties]
        inputs = [(drawn_update(draw, clip, given), weight) for weight in weights]
        for wrong, edge in zip(outside(session, clip, inputs), clip, strict=True):
            (held if edge <= float(min(np.finfo(dtype).max, np.finfo(np.float64).max)) else beyond).append(wrong)
    assert len(held) > 1000
    assert not any(held)
    assert len(beyond) > 200
    assert sum(beyond) > 20


@pytest.mark.parametrize(("dtype", "edge"), [(np.float16, 65504.0), (np.float32, float(np.finfo(np.float32).max))])
def test_a_mean_that_is_a_billionth_of_the_true_one_is_called_right_to_a_percent(dtype, edge):
    true = 1e10 * edge
    session = Session.create(range(3), np.zeros(1, dtype), bits=16, clip=2 * true)
    update = np.full(1, true)
    vectors = [session.encoding.encode(update, 1, SeededEntropy("bound")) for _ in range(3)]
    found = session.encoding.decode(session.ring.reduce(np.sum(vectors, axis=0, dtype=vectors[0].dtype)), 3)
    assert float(found.mean[0]) == edge
    assert found.error_bound < 0.01 * true
    assert true - float(found.mean[0]) > 90 * found.error_bound
