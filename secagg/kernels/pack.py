"""Entries of 1..64 bits as a little-endian bit stream: entry i fills bits [i * bits, (i + 1) * bits).

Bit j of the stream is bit j % 64 of word j // 64, which on bytes is bit j % 8 of byte j // 8.

A stream of m bytes is read where it lies: `words` are its m // 8 full words (a '<u8' view, which may be
unaligned and read-only) and `tail` is the last m % 8 bytes as one little-endian number, 0 if there are none.
The caller makes sure that m = ceil(n * bits / 8) for n entries, and that no bit after the last entry is set.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.kernels._jit import kernel


@kernel
def pack(values: NDArray[Any], bits: int, out: NDArray[np.uint64]) -> None:
    """Write the low `bits` bits of each value to the stream; bits after the last entry are zero.

    Args:
        values: (n,) uint16, uint32 or uint64, contiguous.
        bits: 1..64.
        out: (ceil(n * bits / 64),) uint64, contiguous, overwritten.
    """
    keep = _ones(bits)
    word = np.uint64(0)
    filled = 0  # bits of `word` that are taken, < 64
    at = 0
    for i in range(values.size):
        value = np.uint64(values[i]) & keep
        word |= value << np.uint64(filled)
        filled += bits
        if filled >= 64:
            out[at] = word
            at += 1
            filled -= 64
            # What did not fit. Two shifts, since one by 64 is undefined.
            word = (value >> np.uint64(bits - filled - 1)) >> np.uint64(1)
    if filled > 0:
        out[at] = word


@kernel
def unpack(words: NDArray[np.uint64], tail: np.uint64, bits: int, out: NDArray[Any]) -> None:
    """Read `out.size` entries of the stream (words, tail) into `out`.

    Args:
        words: (m // 8,) uint64, the stream's full words.
        tail: uint64, its last m % 8 bytes.
        bits: 1..64.
        out: (n,) uint16, uint32 or uint64 of at least `bits` bits, contiguous, overwritten.
    """
    keep = _ones(bits)
    inner = _inner(words.size, bits, out.size)
    for i in range(inner):
        out[i] = _within(words, np.uint64(i * bits), keep)
    for i in range(inner, out.size):
        out[i] = _at_end(words, tail, i * bits, keep)


@kernel
def unpack_add(acc: NDArray[Any], words: NDArray[np.uint64], tail: np.uint64, bits: int) -> None:
    """Add the stream's `acc.size` entries to `acc`, mod 2**lane; the arguments are those of `unpack`."""
    keep = _ones(bits)
    inner = _inner(words.size, bits, acc.size)
    for i in range(inner):
        acc[i] += _within(words, np.uint64(i * bits), keep)
    for i in range(inner, acc.size):
        acc[i] += _at_end(words, tail, i * bits, keep)


@kernel
def _ones(bits: int) -> Any:
    """The word whose low `bits` bits are set."""
    return np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - bits)


@kernel
def _inner(words: int, bits: int, entries: int) -> int:
    """How many entries begin before the last full word, so that the word after theirs can be read."""
    if words < 2:
        return 0
    return min(entries, ((words - 1) * 64 + bits - 1) // bits)


@kernel
def _within(words: NDArray[np.uint64], position: np.uint64, keep: np.uint64) -> Any:
    """The entry at bit `position`, without a branch: a shift by 64 in all leaves nothing of the next word."""
    at = position >> np.uint64(6)
    shift = position & np.uint64(63)
    above = (words[at + np.uint64(1)] << np.uint64(1)) << (np.uint64(63) - shift)
    return ((words[at] >> shift) | above) & keep


@kernel
def _at_end(words: NDArray[np.uint64], tail: np.uint64, position: int, keep: np.uint64) -> Any:
    """As `_within`, where a word may be the tail or, past it, nothing."""
    at = position >> 6
    shift = np.uint64(position & 63)
    here = words[at] if at < words.size else np.uint64(tail)
    after = words[at + 1] if at + 1 < words.size else np.uint64(tail) if at + 1 == words.size else np.uint64(0)
    return ((here >> shift) | ((after << np.uint64(1)) << (np.uint64(63) - shift))) & keep
