"""Keys and rounds that the tests of this folder share."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.errors import PartyId
from secagg.scheme import Session
from secagg.testing import SeededEntropy, TestRound, small_keys
from secagg_protocols.paillier import PaillierKeys, PaillierSum

BITS = 256
Updates = dict[PartyId, NDArray[np.uint16]]


@cache
def keys_of(holders: tuple[PartyId, ...], threshold: int, bits: int = BITS) -> PaillierKeys:
    """Always the same for the same arguments."""
    with small_keys(128):
        return PaillierKeys.generate(holders, threshold, bits, SeededEntropy(f"{holders}/{threshold}".encode()))


def updates_of(n: int, dim: int = 30, seed: int = 0) -> Updates:
    draw = np.random.default_rng(seed)
    return {i: draw.integers(0, 2**16, dim, np.uint16) for i in range(n)}


def make_round(scheme: PaillierSum, updates: Updates, context: bytes = b"", **options: Any) -> TestRound:
    parties = [*updates, *sorted(scheme.helpers, key=str)]
    return TestRound(scheme, Session.create(parties, next(iter(updates.values())), context=context), updates, **options)


def sum_of(updates: Updates, parties: Any) -> NDArray[np.uint64]:
    return sum((updates[i].astype(np.uint64) for i in parties), np.zeros(len(next(iter(updates.values()))), np.uint64))


def assert_exact(out: Any, updates: Updates) -> None:
    np.testing.assert_array_equal(out.ring_sum, sum_of(updates, out.contributors))
