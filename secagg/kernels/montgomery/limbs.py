"""Numbers as 64-bit words, one after the other, and as limbs, several numbers side by side: there and back.

Addresses and running time depend on sizes alone.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.kernels._jit import kernel


@kernel
def split(words: NDArray[np.uint64], limbs: NDArray[Any], radix: int) -> None:
    """Cut each part of each number into limbs; lanes without a number, and limbs beyond its end, become 0.

    Args:
        words: (count, parts, m) numbers, least significant word first.
        limbs: (groups, parts * l, lanes) written, of float64 or uint64, groups * lanes >= count; parts one by one.
        radix: bits of a limb, 1..63.
    """
    count, parts, m = words.shape
    groups, length, lanes = limbs.shape
    length //= parts
    mask = np.uint64((1 << radix) - 1)
    for at in range(groups * lanes):
        for part in range(parts):
            for j in range(length):
                word, shift = j * radix >> 6, j * radix & 63
                limb = np.uint64(0)
                if at < count and word < m:
                    limb = words[at, part, word] >> np.uint64(shift)
                    if shift + radix > 64 and word + 1 < m:
                        limb |= words[at, part, word + 1] << np.uint64(64 - shift)
                limbs[at // lanes, part * length + j, at % lanes] = limb & mask


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
def join(limbs: NDArray[Any], words: NDArray[np.uint64], radix: int) -> None:
    """Write each part of each number as words of its two's complement.

    Args:
        limbs: (groups, parts * l, lanes) of float64, where a limb may be negative, or uint64.
        words: (count, parts, m) written; the first `count` numbers are taken, which m words hold, sign included.
        radix: bits of a limb.
    """
    count, parts, m = words.shape
    _, length, lanes = limbs.shape
    length //= parts
    mask = np.int64((1 << radix) - 1)
    for at in range(count):
        for part in range(parts):
            carry, word, filled, place = np.int64(0), np.uint64(0), 0, 0
            for j in range(length):
                carry += np.int64(limbs[at // lanes, part * length + j, at % lanes])
                limb = np.uint64(carry & mask)
                carry >>= radix
                word |= limb << np.uint64(filled)
                filled += radix
                if filled >= 64:
                    filled -= 64
                    if place < m:
                        words[at, part, place] = word
                    place += 1
                    word = limb >> np.uint64(radix - filled)
            while place < m:  # a negative number goes on in ones
                words[at, part, place] = word | np.uint64(carry) << np.uint64(filled)
                word, filled, place = np.uint64(carry), 0, place + 1
