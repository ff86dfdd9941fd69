"""Pairs in, keys out: X25519 and HKDF-SHA256 over groups of lanes, on several threads, and nothing left behind."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.errors import ConfigError
from secagg.kernels._cpu import over_threads
from secagg.kernels._memory import aligned
from secagg.kernels.agreement import hkdf, x25519


def derive(
    scalars: NDArray[np.uint8],
    points: NDArray[np.uint8],
    infos: NDArray[np.uint8],
    salt: bytes,
    *,
    vector_bits: int,
    threads: int,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """See `secagg.kernels.agreement.derive`.

    Args:
        scalars, points, infos, salt: see there.
        vector_bits: 256 or 512; the processor must have the instructions.
        threads: most threads to use, >= 1; the result does not depend on it.

    Raises:
        ConfigError: this process's floating-point numbers are not rounded to nearest, which 256 bits rest on.
    """
    pairs = _Pairs(scalars, points, infos, salt, vector_bits)
    try:
        over_threads(pairs.work, range(0, len(pairs.keys), pairs.step), threads)
    finally:
        pairs.wipe()
    return pairs.keys, pairs.is_zero


class _Pairs:
    """Arguments and results as the kernels want them: words of 64 and 32 bits, rows contiguous."""

    def __init__(
        self, scalars: NDArray[Any], points: NDArray[Any], infos: NDArray[Any], salt: bytes, vector_bits: int
    ) -> None:
        self.lanes = tuple(range(vector_bits // 64))
        self.step = x25519.GROUPS * len(self.lanes)
        self._scalars = scalars.copy().view(np.uint64)
        self._points = points.copy().view(np.uint64)
        self._infos = hkdf.padded(infos).view(np.uint32)
        key = salt if len(salt) <= hkdf.BLOCK_BYTES else hashlib.sha256(salt).digest()
        self._salt = np.frombuffer(key.ljust(hkdf.BLOCK_BYTES, b"\0"), np.uint32).copy()
        self.keys = np.empty((len(scalars), 32), np.uint8)
        self.is_zero = np.empty(len(scalars), np.bool_)

    def work(self, starts: Iterator[int]) -> None:
        """Take pairs, `step` at a time, for as long as there are any."""
        lanes, wide = self.lanes, tuple(range(2 * len(self.lanes)))
        room = aligned((x25519.ROWS, len(lanes)), np.uint64)
        words = aligned((hkdf.ROWS, len(wide)), np.uint32)
        for new in (room, words):
            new.fill(0)
        secrets = np.empty((self.step, 4), np.uint64)
        if not x25519.rounds_right(len(lanes)):
            raise ConfigError("floating-point numbers are not rounded to nearest: set SECAGG_KERNEL=portable")
        try:
            for start in starts:
                chosen = slice(start, start + self.step)
                shared = secrets[: len(self._scalars[chosen])]
                x25519.exchange(self._scalars[chosen], self._points[chosen], shared, room, lanes)
                keys = self.keys[chosen].view(np.uint32)
                hkdf.derive(shared.view(np.uint32), self._infos[chosen], self._salt, hkdf.CONSTANTS, keys, words, wide)
                self.is_zero[chosen] = ~shared.any(axis=1)
        finally:
            for used in (room, words, secrets):
                used.fill(0)

    def wipe(self) -> None:
        """Forget the scalars."""
        self._scalars.fill(0)
