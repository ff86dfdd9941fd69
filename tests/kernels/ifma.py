"""The two instructions of AVX-512 IFMA, for processors without them."""

from contextlib import contextmanager

import pytest
from llvmlite import ir
from numba import njit
from numba.core.dispatcher import Dispatcher

from secagg.kernels.agreement import hkdf, x25519

QUAD, WIDE = ir.IntType(64), ir.IntType(128)
LOW = QUAD((1 << 52) - 1)


@contextmanager
def emulated():
    """The kernels of eight and sixteen lanes as their generator makes them, but for these instructions.

    Compiled anew and kept in memory: a processor that has them must not find these in its cache.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(x25519._Ifma, "_fused", _fused)
        for module in (x25519, hkdf):
            for name, kernel in vars(module).copy().items():
                if isinstance(kernel, Dispatcher):
                    patch.setattr(module, name, njit(kernel.py_func, nogil=True, error_model="numpy"))
        yield


def _fused(self, half, total, x, y):
    name = "emulated.vpmadd52" + half
    known = self.builder.module.globals.get(name)
    return self.builder.call(known or _function(self.builder.module, name, half, self.integer), [total, x, y])


def _function(module, name, half, vector):
    function = ir.Function(module, ir.FunctionType(vector, [vector] * 3), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block())
    total, *factors = function.args
    for lane in range(vector.count):
        place = ir.IntType(32)(lane)
        x, y = (builder.zext(builder.and_(builder.extract_element(v, place), LOW), WIDE) for v in factors)
        product = builder.mul(x, y)
        part = builder.and_(builder.trunc(product, QUAD), LOW)
        if half == "h":
            part = builder.trunc(builder.lshr(product, WIDE(52)), QUAD)
        total = builder.insert_element(total, builder.add(builder.extract_element(total, place), part), place)
    builder.ret(total)
    return function
