"""Naive twins of the kernels: Python integers and the definitions, one entry at a time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

P = 2**61 - 1


def counter_mode(key: bytes, first: int, blocks: int) -> bytes:
    """NIST SP 800-38A 6.5: counter blocks first, first + 1, ... through the bare cipher."""
    counters = b"".join(((first + i) % 2**128).to_bytes(16, "big") for i in range(blocks))
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(counters)


def lanes(key: bytes, start: int, n: int, itemsize: int) -> list[int]:
    """Lanes start .. start + n of a key's stream."""
    first, skipped = divmod(start * itemsize, 16)
    stream = counter_mode(key, first, (skipped + n * itemsize) // 16 + 1)[skipped:]
    return [int.from_bytes(stream[i * itemsize : (i + 1) * itemsize], "little") for i in range(n)]


def add_masks(acc: NDArray[Any], seeds: NDArray[np.uint8], signs: Sequence[int], offset: int) -> NDArray[Any]:
    size = acc.itemsize
    total = [int(entry) for entry in acc]
    for seed, sign in zip(seeds, signs, strict=True):
        stream = lanes(seed.tobytes(), offset, acc.size, size)
        total = [(entry + int(sign) * lane) % 2 ** (8 * size) for entry, lane in zip(total, stream, strict=True)]
    return np.array(total, acc.dtype)


def scaled(x: float, clip: float, ratio: float, bits: int) -> float:
    """The product before rounding, in the order of the contract."""
    return min(max(x, -clip), clip) / clip * (ratio * (2 ** (bits - 1) - 1))


def nearest(v: float) -> int:
    return round(v)  # of a float: exact, halves to even


def stochastic(v: float, noise: int) -> int:
    below = float(np.floor(v))
    return int(below) + (noise / 2**32 >= 1.0 - (v - below))


def pack(values: Sequence[int], bits: int) -> bytes:
    """One big integer."""
    stream = sum((int(value) % 2**bits) << (i * bits) for i, value in enumerate(values))
    return stream.to_bytes((len(values) * bits + 7) // 8, "little")


def unpack(stream: bytes, bits: int, n: int) -> list[int]:
    number = int.from_bytes(stream, "little")
    return [(number >> (i * bits)) % 2**bits for i in range(n)]


def evaluate(coefficients: Sequence[int], x: int) -> int:
    return sum(int(c) * pow(int(x), j, P) for j, c in enumerate(coefficients)) % P


def lagrange_at_zero(points: Sequence[int]) -> list[int]:
    weights = []
    for i, x in enumerate(points):
        weight = 1
        for j, other in enumerate(points):
            if j != i:
                weight = weight * int(other) * pow(int(other) - int(x), -1, P) % P
        weights.append(weight)
    return weights


def negacyclic_transform(polynomial: Sequence[int], q: int, psi: int) -> list[int]:
    """Values at psi ** (2i + 1), i in bit-reversed order."""
    size = len(polynomial)
    order = [int(f"{i:0{size.bit_length() - 1}b}"[::-1], 2) for i in range(size)]
    return [sum(c * pow(psi, (2 * i + 1) * j, q) for j, c in enumerate(polynomial)) % q for i in order]


def negacyclic_product(a: Sequence[int], b: Sequence[int], q: int) -> list[int]:
    """a * b mod X ** N + 1, by the school's method."""
    size = len(a)
    product = [0] * size
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            sign = 1 if i + j < size else -1
            product[(i + j) % size] = (product[(i + j) % size] + sign * x * y) % q
    return product
