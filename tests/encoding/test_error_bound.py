"""`Aggregate.error_bound` is a promise, held against exact arithmetic over sessions drawn at random.

It was false where the clip is beyond what the update's own dtype holds: the mean ended at the dtype's edge, and the
bound said nothing of that. Whoever names the clip (the server) would get a mean that is wrong by any factor, and a
bound that calls it right. No session has such a clip now.
"""

from fractions import Fraction

import numpy as np
import pytest

from secagg.encoding import clips
from secagg.errors import OutOfRange
from secagg.scheme import Session
from secagg.testing import SeededEntropy

DTYPES = [np.float16, np.float32, np.float64, np.longdouble]
EXPONENTS = [-280, -100, -20, -3, 0, 0, 1, 3, 20, 100, 279.9]
SCALES = [0, 0, 0, -3, 3, -300]


def exact(x):
    high = float(x)
    return Fraction(high) + Fraction(float(x - type(x)(high)))


def weighting(draw):
    if draw.random() < 0.4:
        return {"rounding": ["nearest", "stochastic"][draw.integers(2)]}
    return {"weight_max": int(2 ** draw.uniform(0, 48)), "weight_min": 1}


def largest(dtype):
    return float(min(np.finfo(dtype).max, np.finfo(np.float64).max))


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
        **weighting(draw),
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


def drawn(sessions):
    """(whether the dtype holds its clip, whether the mean is outside its bound) of each entry."""
    draw = np.random.default_rng(0)
    for _ in range(sessions):
        session, dtype, clip = drawn_session(draw)
        most = session.encoding.weight_max
        given = dtype if draw.random() < 0.7 else DTYPES[draw.integers(4)]
        weights = [1 if most is None else int(draw.integers(1, most + 1)) for _ in session.parties]
        inputs = [(drawn_update(draw, clip, given), weight) for weight in weights]
        yield from zip(clip <= largest(dtype), outside(session, clip, inputs), strict=True)


def test_where_the_dtype_holds_the_clip_no_mean_is_outside_its_bound(monkeypatch):
    """And of the others many would be."""
    monkeypatch.setattr(clips, "check_dtypes", lambda clip, layout: None)
    found = list(drawn(600))
    held, beyond = ([wrong for holds, wrong in found if holds == each] for each in (True, False))
    assert len(held) > 1000
    assert not any(held)
    assert len(beyond) > 200
    assert sum(beyond) > 20


def test_where_it_does_not_there_is_no_session():
    draw, refused = np.random.default_rng(0), 0
    for _ in range(300):
        try:
            _, dtype, clip = drawn_session(draw)
        except OutOfRange as error:
            assert "the largest float" in str(error)  # noqa: PT017
            refused += 1
        else:
            assert clip.max() <= largest(dtype)
    assert 30 < refused < 200


@pytest.mark.parametrize(("dtype", "edge"), [(np.float16, 65504.0), (np.float32, float(np.finfo(np.float32).max))])
def test_a_mean_that_is_a_billionth_of_the_true_one_is_not_called_right_to_a_percent(dtype, edge):
    with pytest.raises(OutOfRange, match=r"expected at most .* the largest float"):
        Session.create(range(3), np.zeros(1, dtype), bits=16, clip=2e10 * edge)
