"""Negacyclic number-theoretic transform modulo a prime q = 1 mod 2N, in place: Longa and Naehrig, CANS 2016, Alg. 1, 2.

A polynomial of Z_q[X] / (X^N + 1) stands in the usual order of its coefficients; its transform, the values at the
odd powers of a 2N-th root of unity, in bit-reversed order, as SEAL keeps it. Products by constants are Harvey's
(2014) with the quotient worked out beforehand. No branch and no address depends on a value.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from secagg.kernels._jit import kernel

MAX_MODULUS_BITS = 61
"""The sum of two residues stays below 2**62, so that the borrow of a subtraction is its top bit."""


def _emit_upper_half(_typing: Any, _a: Any, _b: Any) -> tuple[Any, Callable[..., Any]]:
    """floor(a * b / 2**64), by one 64x64 -> 128-bit multiplication."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        wide, word = ir.IntType(128), ir.IntType(64)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), word)

    return types.uint64(types.uint64, types.uint64), codegen


_upper_half: Any = intrinsic(_emit_upper_half)


@kernel
def _reduced(a: Any, q: Any) -> Any:
    """Residue of a < 2q: q is added back where the subtraction borrowed."""
    less = a - q
    return less + (q & (np.uint64(0) - (less >> np.uint64(63))))


@kernel
def _scaled(a: Any, factor: Any, quotient: Any, q: Any) -> Any:
    """a * factor mod q for any a, given quotient = floor(factor * 2**64 / q) (Harvey 2014, Fig. 2)."""
    return _reduced(a * factor - _upper_half(a, quotient) * q, q)


@kernel
def forward(values: NDArray[np.uint64], roots: NDArray[np.uint64], quotients: NDArray[np.uint64], q: np.uint64) -> None:
    """Coefficients to values at roots, each row by itself.

    Args:
        values: (m, N) uint64 below q, contiguous, overwritten; N a power of two.
        roots: (N,) uint64; entry i is psi to the power i with its bits reversed, psi a primitive 2N-th root of unity.
        quotients: (N,) uint64, floor(roots * 2**64 / q).
        q: a prime of at most 61 bits.
    """
    size = values.shape[1]
    for row in range(values.shape[0]):
        a = values[row]
        gap, groups = size // 2, 1
        while groups < size:
            for i in range(groups):
                root, quotient = roots[groups + i], quotients[groups + i]
                for j in range(2 * i * gap, 2 * i * gap + gap):
                    here, there = a[j], _scaled(a[j + gap], root, quotient, q)
                    a[j] = _reduced(here + there, q)
                    a[j + gap] = _reduced(here + (q - there), q)
            gap, groups = gap // 2, groups * 2


@kernel
def inverse(values: NDArray[np.uint64], roots: NDArray[np.uint64], quotients: NDArray[np.uint64], q: np.uint64) -> None:
    """The inverse of `forward`; `roots` are the inverses of its roots, but entry 0, unused there, is 1 / N.

    Args:
        values, roots, quotients, q: as `forward`.
    """
    size = values.shape[1]
    for row in range(values.shape[0]):
        a = values[row]
        gap, groups = 1, size // 2
        while groups > 0:
            for i in range(groups):
                root, quotient = roots[groups + i], quotients[groups + i]
                for j in range(2 * i * gap, 2 * i * gap + gap):
                    here, there = a[j], a[j + gap]
                    a[j] = _reduced(here + there, q)
                    a[j + gap] = _scaled(here + (q - there), root, quotient, q)
            gap, groups = gap * 2, groups // 2
        for j in range(size):
            a[j] = _scaled(a[j], roots[0], quotients[0], q)
