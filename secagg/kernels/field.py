"""GF(p), p = 2**61 - 1, for Shamir's shares: elements are uint64 below p, on entry and on return.

No branch and no address depends on an element's value; counts, shapes and points are public.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from secagg.kernels._jit import kernel

P = (1 << 61) - 1
"""The modulus, a Mersenne prime: 2**61 = 1, so a product is reduced by adding its upper half to its lower."""


def _emit_folded_product(_typing: Any, _a: Any, _b: Any) -> tuple[Any, Callable[..., Any]]:
    """Lower 61 bits plus the rest of a * b, by one 64x64 -> 128-bit multiplication: < 2p for a, b < p."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        wide, word = ir.IntType(128), ir.IntType(64)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        low = builder.and_(builder.trunc(product, word), ir.Constant(word, P))
        high = builder.trunc(builder.lshr(product, ir.Constant(wide, 61)), word)
        return builder.add(low, high)

    return types.uint64(types.uint64, types.uint64), codegen


_folded_product: Any = intrinsic(_emit_folded_product)


@kernel
def _reduced(a: Any) -> Any:
    """Residue of a < 2p: p is added back where the subtraction borrowed."""
    less = a - np.uint64(P)
    return less + (np.uint64(P) & (np.uint64(0) - (less >> np.uint64(63))))


@kernel
def multiply(a: np.uint64, b: np.uint64) -> Any:
    """Product mod p."""
    return _reduced(_folded_product(a, b))


@kernel
def add(a: np.uint64, b: np.uint64) -> Any:
    """Sum mod p."""
    return _reduced(a + b)


@kernel
def subtract(a: np.uint64, b: np.uint64) -> Any:
    """Difference mod p."""
    return _reduced(a + (np.uint64(P) - b))


@kernel
def inverse(a: np.uint64) -> Any:
    """1 / a mod p, as a**(p - 2) (Fermat); 0 for a = 0."""
    power = np.uint64(a)
    result = np.uint64(1)
    for i in range(61):  # p - 2 = 2**61 - 3: every bit is set but bit 1
        if i != 1:
            result = multiply(result, power)
        power = multiply(power, power)
    return result


@kernel
def evaluate(coefficients: NDArray[np.uint64], points: NDArray[np.uint64], out: NDArray[np.uint64]) -> None:
    """Values of m * l polynomials at h points, by Horner's rule.

    Args:
        coefficients: (m, l, t) uint64, the constant terms first.
        points: (h,) uint64.
        out: (h, m, l) uint64, overwritten; all three contiguous.
    """
    m, limbs, terms = coefficients.shape
    polynomials = coefficients.reshape(m * limbs, terms)
    values = out.reshape(points.size, m * limbs)
    for h in range(points.size):
        values[h] = polynomials[:, terms - 1]
        for j in range(terms - 2, -1, -1):
            for i in range(m * limbs):  # innermost: the products of one step do not wait for each other
                values[h, i] = add(multiply(values[h, i], points[h]), polynomials[i, j])


@kernel
def lagrange_at_zero(points: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Weights that interpolate at zero: prod over j != i of x_j / (x_j - x_i), for each row of points.

    Args:
        points: (s, t) uint64, contiguous; each row's are distinct and not zero.

    Returns:
        (s, t) uint64.
    """
    weights = np.empty_like(points)
    for row in range(points.shape[0]):
        _lagrange_row(points[row], weights[row])
    return weights


@kernel
def _lagrange_row(x: NDArray[np.uint64], weights: NDArray[np.uint64]) -> None:
    every = np.uint64(1)
    for i in range(x.size):
        every = multiply(every, x[i])
        weights[i] = x[i]
    for j in range(x.size):
        for i in range(j):
            weights[i] = multiply(weights[i], subtract(x[j], x[i]))
        for i in range(j + 1, x.size):
            weights[i] = multiply(weights[i], subtract(x[j], x[i]))
    _invert(weights)
    for i in range(x.size):
        weights[i] = multiply(weights[i], every)


@kernel
def _invert(values: NDArray[np.uint64]) -> None:
    """Invert all in place for the price of one inversion (Montgomery's trick); none may be zero."""
    before = np.empty_like(values)
    running = np.uint64(1)
    for i in range(values.size):
        before[i] = running
        running = multiply(running, values[i])
    running = inverse(running)
    for i in range(values.size - 1, -1, -1):
        value = values[i]
        values[i] = multiply(running, before[i])
        running = multiply(running, value)


@kernel
def combine(weights: NDArray[np.uint64], values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Row sums of weight times value: the secrets, given `lagrange_at_zero` and shares at its points.

    Args:
        weights: (s, t) uint64.
        values: (s, t, l) uint64; both contiguous.

    Returns:
        (s, l) uint64.
    """
    s, t, limbs = values.shape
    totals = np.zeros((s, limbs), np.uint64)
    for row in range(s):
        for i in range(t):
            for limb in range(limbs):
                term = multiply(weights[row, i], values[row, i, limb])
                totals[row, limb] = add(totals[row, limb], term)
    return totals
