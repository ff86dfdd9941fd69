"""A pytest plugin: the two instructions of AVX-512 IFMA in plain arithmetic, so that their kernel runs anywhere.

Everything but these two instructions is what an IFMA machine runs: the same generator, lanes and limbs.
"""

from importlib import import_module

import numpy as np
from llvmlite import ir


def madd52(multiplier, half, total, x, y):
    """total + the low or high 52 bits of the product of the low 52 bits, in every lane."""
    b, wide = multiplier.builder, ir.VectorType(ir.IntType(128), multiplier.lanes)
    mask = multiplier.quads([(1 << 52) - 1] * multiplier.lanes)
    x, y = (b.zext(b.and_(value, mask), wide) for value in (x, y))
    product = b.mul(x, y)
    if half == "h":
        product = b.lshr(product, wide([52] * multiplier.lanes))
    return b.add(total, b.and_(b.trunc(product, multiplier.quads), mask))


def pytest_sessionstart():
    """After the conftest, which says where compiled kernels are kept."""
    import_module("secagg.kernels.montgomery.lanes")._Madd52._madd52 = madd52
    import_module("secagg.kernels.montgomery").IMPLEMENTATIONS = {"ifma": np.dtype(np.uint64)}
