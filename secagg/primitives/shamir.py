"""Shamir's secret sharing (1979) of 32-byte secrets over GF(2**61 - 1).

A secret is five little-endian limbs, four of 56 bits and one of 32, each the constant term of its own random
polynomial of degree threshold - 1. A share is the five values at the holder's point, a public integer
1..2**32. Any `threshold` shares determine the secret; fewer carry no information about it.
"""

import operator
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from secagg.errors import ConfigError, OutOfRange, PeerMisbehaved, WireError
from secagg.kernels import field
from secagg.primitives.entropy import Entropy, draw
from secagg.spans import span

SECRET_BYTES = 32
LIMBS = 5
LIMB_BYTES = 7  # of a secret, in all limbs but the last
SHARE_BYTES = 8 * LIMBS
"""Bytes of one share of one secret on the wire."""

MAX_POINT = 1 << 32

_LIMB_BOUNDS = np.array([1 << 56] * 4 + [1 << 32], np.uint64)


@span("Shamir")
def split(
    secrets: NDArray[np.uint8], holders: Sequence[int], threshold: int, entropy: Entropy
) -> dict[int, NDArray[np.uint64]]:
    """Deal each secret to all holders.

    Args:
        secrets: (m, 32) uint8.
        holders: distinct points, integers 1..2**32.
        threshold: how many shares determine a secret, 1..len(holders).
        entropy: source of the coefficients.

    Returns:
        {holder: (m, 5) uint64}, every limb below 2**61 - 1.

    Raises:
        ConfigError: secrets of another shape or type, or a duplicate holder.
        OutOfRange: a holder or the threshold is out of range.
    """
    if not isinstance(secrets, np.ndarray) or secrets.dtype != np.uint8 or secrets.shape[1:] != (SECRET_BYTES,):
        raise ConfigError(f"secrets: expected an (m, {SECRET_BYTES}) array of uint8")
    points = _points(holders)
    if not isinstance(threshold, int) or not 1 <= threshold <= points.size:
        raise OutOfRange(f"threshold must lie in 1..{points.size}, the number of holders, got {threshold}")
    m = len(secrets)
    coefficients = np.empty((m, LIMBS, threshold), np.uint64)
    coefficients[:, :, 0] = _to_limbs(secrets)
    coefficients[:, :, 1:] = _uniform(m * LIMBS * (threshold - 1), entropy).reshape(m, LIMBS, threshold - 1)
    shares = np.empty((points.size, m, LIMBS), np.uint64)
    field.evaluate(coefficients, points, shares)
    return dict(zip(points.tolist(), shares, strict=True))


def combine(shares: Mapping[int, NDArray[np.uint64]]) -> NDArray[np.uint8]:
    """The secrets, interpolated through all the given shares: the caller passes exactly `threshold`.

    Args:
        shares: {holder: (m, 5) uint64} as dealt by `split`, at least one.

    Returns:
        (m, 32) uint8.

    Raises:
        ConfigError: no share, or shares of different or wrong shape or type.
        OutOfRange: a holder is no point.
        WireError: a limb is no field element.
        PeerMisbehaved: what comes out is no 32-byte secret, so the shares do not belong together.
    """
    points = _points(list(shares))
    shapes = {np.shape(share) for share in shares.values()}
    if len(shapes) != 1:
        raise ConfigError(f"combine: expected one or more shares of one shape (m, {LIMBS}), got {sorted(shapes)}")
    values = np.stack(list(shares.values()), axis=-2)
    secrets, ok = combine_many(np.broadcast_to(points, values.shape[:1] + points.shape), values)
    if not ok.all():
        raise PeerMisbehaved(f"shares of secret {int(np.argmin(ok))} are inconsistent: no 32-byte secret has them")
    return secrets


@span("Shamir")
def combine_many(points: NDArray[np.uint64], values: NDArray[np.uint64]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Many secrets, each with holders of its own; rows that share their points are interpolated at one price.

    Args:
        points: (s, t) uint64, each row distinct and in 1..2**32.
        values: (s, t, 5) uint64, shares at those points.

    Returns:
        Secrets (s, 32) uint8, and (s,) bool: False where the shares are inconsistent (the secret is then 0).

    Raises:
        ConfigError: another shape or type, or a row with a duplicate point.
        OutOfRange: a point out of range.
        WireError: a limb is no field element.
    """
    _check_rows(points, values)
    distinct, row_of = _distinct_rows(points)
    weights = field.lagrange_at_zero(distinct)[row_of]
    limbs = field.combine(weights, np.ascontiguousarray(values))
    ok: NDArray[np.bool_] = np.all(limbs < _LIMB_BOUNDS, axis=1)
    limbs[~ok] = 0
    return _from_limbs(limbs), ok


def are_limbs(values: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether all limbs of each share, (..., 5) uint64, are elements of the field."""
    sound: NDArray[np.bool_] = np.all(values < np.uint64(field.P), axis=-1)
    return sound


def check_limbs(values: NDArray[np.uint64]) -> None:
    """Refuse shares, of any shape, with a limb that is no element of the field.

    Raises:
        WireError: a limb is 2**61 - 1 or more.
    """
    if not are_limbs(values).all():
        raise WireError("share: every limb must be below 2**61 - 1")


def to_bytes(share: NDArray[np.uint64]) -> bytes:
    """One share (5,) uint64 as 40 bytes, little-endian.

    Raises:
        ConfigError: another shape or type.
        WireError: a limb is no field element.
    """
    if not isinstance(share, np.ndarray) or share.dtype != np.uint64 or share.shape != (LIMBS,):
        raise ConfigError(f"share: expected a ({LIMBS},) array of uint64")
    check_limbs(share)
    return share.astype("<u8").tobytes()


def from_bytes(data: bytes) -> NDArray[np.uint64]:
    """The share (5,) uint64 of 40 bytes.

    Raises:
        WireError: another length, or a limb that is no field element.
    """
    if len(data) != SHARE_BYTES:
        raise WireError(f"share: expected {SHARE_BYTES} bytes, got {len(data)}")
    share = np.frombuffer(data, "<u8").astype(np.uint64)
    check_limbs(share)
    return share


def _points(holders: Sequence[int]) -> NDArray[np.uint64]:
    """(h,) uint64, once each is known to be a point and none comes twice."""
    try:
        numbers = [operator.index(holder) for holder in holders]
    except TypeError:
        raise ConfigError("holders: every point must be an integer") from None
    for number in numbers:
        if not 1 <= number <= MAX_POINT:
            raise OutOfRange(f"holders: every point must lie in 1..2**32, got {number}")
    if len(set(numbers)) != len(numbers):
        raise ConfigError("holders: every point must be distinct")
    return np.array(numbers, np.uint64)


def _check_rows(points: NDArray[np.uint64], values: NDArray[np.uint64]) -> None:
    for array, name in ((points, "points"), (values, "values")):
        if not isinstance(array, np.ndarray) or array.dtype != np.uint64:
            raise ConfigError(f"{name}: expected an array of uint64")
    if points.ndim != 2 or not points.shape[1] or values.shape != (*points.shape, LIMBS):
        expected = f"(s, t) and (s, t, {LIMBS}) with t >= 1"
        raise ConfigError(f"points and values: expected {expected}, got {points.shape} and {values.shape}")
    check_limbs(values)


def _distinct_rows(points: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
    """The distinct rows of `points`, checked, and for each of its rows which of them it is."""
    first_seen: dict[bytes, int] = {}
    row_of = np.array([first_seen.setdefault(row.tobytes(), len(first_seen)) for row in points], np.intp)
    rows = np.frombuffer(b"".join(first_seen), np.uint64).reshape(-1, points.shape[1])
    if ((rows < 1) | (rows > MAX_POINT)).any():
        raise OutOfRange("points: every point must lie in 1..2**32")
    if (np.diff(np.sort(rows, axis=1), axis=1) == 0).any():
        raise ConfigError("points: those of one secret must be distinct")
    return rows, row_of


def _uniform(n: int, entropy: Entropy) -> NDArray[np.uint64]:
    """(n,) uint64, independent and uniform in [0, p): 61 bits each, drawn anew while they read p."""
    values = _words(n, entropy)
    while (rejected := np.flatnonzero(values == field.P)).size:
        values[rejected] = _words(rejected.size, entropy)
    return values


def _words(n: int, entropy: Entropy) -> NDArray[np.uint64]:
    return np.frombuffer(draw(entropy, 8 * n), "<u8") & np.uint64(field.P)


def _to_limbs(secrets: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """(m, 32) bytes -> (m, 5) limbs."""
    padded = np.zeros((len(secrets), LIMBS * LIMB_BYTES), np.uint8)
    padded[:, :SECRET_BYTES] = secrets
    limbs = np.zeros((len(secrets), LIMBS, 8), np.uint8)
    limbs[:, :, :LIMB_BYTES] = padded.reshape(-1, LIMBS, LIMB_BYTES)
    return limbs.view("<u8")[:, :, 0]


def _from_limbs(limbs: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """(m, 5) limbs within `_LIMB_BOUNDS` -> (m, 32) bytes."""
    parts = limbs.astype("<u8").view(np.uint8).reshape(-1, LIMBS, 8)[:, :, :LIMB_BYTES]
    padded = parts.reshape(-1, LIMBS * LIMB_BYTES)
    return np.ascontiguousarray(padded[:, :SECRET_BYTES])
