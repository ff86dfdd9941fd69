"""What the machine could do at best: AES rounds in registers, and bytes through memory. On one core."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from bench.measure import Work
from secagg.kernels import mask
from secagg.kernels.mask.aes import IN_FLIGHT, ROUNDS

MEMORY = 1 << 27
"""Bytes far beyond any cache."""

_QUAD = ir.IntType(64)
_emitted: Any = intrinsic
_compiled: Any = njit(nogil=True)


@dataclass(frozen=True)
class Limit:
    """A piece of work and how many bytes it stands for."""

    work: Work
    bytes: int


def memory(size: int) -> Limit:
    """Add one array of `size` bytes to another: two are read and one is written, and all three count."""
    one, other = np.ones(size // 4, np.uint32), np.ones(size // 4, np.uint32)
    return Limit(partial(np.add, one, other, out=one), 3 * size)


def aes(size: int) -> Mapping[str, Limit]:
    """{path: AES-128 of about `size` bytes in registers}, for each path of the mask kernel with AES instructions."""
    limits = {}
    for name, (vector_bits, _) in mask.FAST.items():
        if name in mask.IMPLEMENTATIONS:
            blocks = tuple(range(vector_bits // 128))
            group = IN_FLIGHT * vector_bits // 8
            limits[name] = Limit(partial(_rounds, size // group, blocks), size // group * group)
    return limits


@_compiled  # type: ignore[untyped-decorator]
def _rounds(groups: int, blocks: tuple[int, ...]) -> int:
    """`groups` times ten rounds of the vectors in flight; the result keeps them from being optimized away."""
    total = 0
    for number in range(groups):
        total ^= _group(number, blocks)
    return total


@_emitted  # type: ignore[untyped-decorator]
def _group(_typing: Any, _number: Any, blocks: Any) -> Any:
    """Emit ten AES rounds of `IN_FLIGHT` vectors; groups do not wait for each other."""
    kind = ir.VectorType(_QUAD, 2 * len(blocks))
    suffix = f".{64 * kind.count}" if kind.count > 2 else ""

    def emit(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        vectors = [
            builder.insert_element(kind([number] * kind.count), arguments[0], _QUAD(0)) for number in range(IN_FLIGHT)
        ]
        round_key = kind([0x0123456789ABCDEF] * kind.count)
        for number in range(ROUNDS):
            name = "llvm.x86.aesni.aesenc" + ("last" if number == ROUNDS - 1 else "") + suffix
            aes_round = builder.module.declare_intrinsic(name, (), ir.FunctionType(kind, [kind, kind]))
            vectors = [builder.call(aes_round, [vector, round_key]) for vector in vectors]
        total = vectors[0]
        for vector in vectors[1:]:
            total = builder.xor(total, vector)
        return builder.extract_element(total, _QUAD(1))

    return types.int64(types.int64, blocks), emit
