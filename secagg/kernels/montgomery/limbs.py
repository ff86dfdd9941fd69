"""Numbers as 64-bit words, one after the other, and as limbs, several numbers side by side: there and back.

Addresses and running time depend on sizes alone.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.kernels._jit import kernel


@kernel
def split(words: NDArray[np.uint64], limbs: NDArray[Any], radix: int) -> None:
    """Cut each number into limbs of `radix` bits; lanes without a number, and limbs beyond its end, become 0.

    Args:
        words: (count, m) numbers, least significant word first.
        limbs: (groups, l, lanes) written, of float64 or uint64, groups * lanes >= count.
        radix: bits of a limb, 1..63.
    """
    count, m = words.shape
    groups, length, lanes = limbs.shape
    mask = np.uint64((1 << radix) - 1)
    for at in range(groups * lanes):
        group, lane = at // lanes, at % lanes
        for j in range(length):
            word, shift = j * radix >> 6, j * radix & 63
            limb = np.uint64(0)
            if at < count and word < m:
                limb = words[at, word] >> np.uint64(shift)
                if shift + radix > 64 and word + 1 < m:
                    limb |= words[at, word + 1] << np.uint64(64 - shift)
            limbs[group, j, lane] = limb & mask


@kernel
def first_not_below(words: NDArray[np.uint64], modulus: NDArray[np.uint64]) -> int:
    """Place of the first number that is n or more; `len(words)` if there is none. For public numbers.

    Args:
        words: (count, m) numbers, least significant word first.
        modulus: (m,) words of n.
    """
    for at in range(len(words)):
        j = modulus.size - 1
        while j > 0 and words[at, j] == modulus[j]:
            j -= 1
        if words[at, j] >= modulus[j]:
            return at
    return len(words)


@kernel
def join(limbs: NDArray[Any], words: NDArray[np.uint64], modulus: NDArray[np.uint64], radix: int) -> None:
    """Write each number, which lies in -n..n, as words of its remainder in 0..n-1.

    Args:
        limbs: (groups, l, lanes) of float64, where a limb may be negative, or uint64.
        words: (count, m) written; the first `count` numbers are taken.
        modulus: (m,) words of n; the top one has a bit to spare.
        radix: bits of a limb.
    """
    count, m = words.shape
    _, length, lanes = limbs.shape
    mask = np.int64((1 << radix) - 1)
    for at in range(count):
        carry, word, filled, place = np.int64(0), np.uint64(0), 0, 0
        for j in range(length):
            carry += np.int64(limbs[at // lanes, j, at % lanes])
            limb = np.uint64(carry & mask)
            carry >>= radix
            word |= limb << np.uint64(filled)
            filled += radix
            if filled >= 64:
                filled -= 64
                if place < m:
                    words[at, place] = word
                place += 1
                word = limb >> np.uint64(radix - filled)
        while place < m:  # a negative number goes on in ones
            words[at, place] = word | np.uint64(carry) << np.uint64(filled)
            word, filled, place = np.uint64(carry), 0, place + 1
        _reduce(words[at], modulus)


@kernel
def _reduce(value: NDArray[np.uint64], modulus: NDArray[np.uint64]) -> None:
    """From -n..n, as a two's complement, to 0..n-1: n comes off, and on again where it is negative."""
    for borrow in (np.uint64(1), np.uint64(0)):
        negative = value[-1] >> np.uint64(63)
        keep = np.uint64(0) - (negative ^ borrow)
        flip = np.uint64(0) - borrow
        carry = borrow & keep
        for j in range(value.size):
            added = (modulus[j] ^ flip) & keep
            part = value[j] + added
            total = part + carry
            carry = np.uint64(part < added) | np.uint64(total < part)
            value[j] = total
