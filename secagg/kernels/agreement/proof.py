"""A kernel shows once that it agrees with `cryptography`, before it derives anything."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from secagg.errors import ConfigError

Derive = Callable[
    [NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], bytes], tuple[NDArray[np.uint8], NDArray[np.bool_]]
]

PAIRS = 21  # groups of four and of eight lanes, and rests of both
SALT = b"fixed and public"
LOW_ORDER = 13  # this row's point has a zero product with every scalar
_HIGHEST = (1 << 255) - 1  # not canonical: 18, in disguise


def prove(name: str, derive: Derive) -> None:
    """Compare keys of fixed pairs, some of them at the edges of what a point can be.

    Raises:
        ConfigError: they differ.
    """
    points = [_bytes("point", row) for row in range(PAIRS)]
    points[LOW_ORDER], points[LOW_ORDER + 1] = bytes(32), _HIGHEST.to_bytes(32, "little")
    scalars = [_bytes("scalar", row) for row in range(PAIRS)]
    infos = [_bytes("info", row) + bytes(40) for row in range(PAIRS)]
    keys, is_zero = derive(_table(scalars), _table(points), _table(infos), SALT)
    expected = [_key(*row) for row in zip(scalars, points, infos, strict=True)]
    found = [None if zero else key.tobytes() for key, zero in zip(keys, is_zero, strict=True)]
    if found != expected:
        raise ConfigError(
            f"agreement kernel {name!r} disagrees with OpenSSL on this machine; set SECAGG_KERNEL=portable, "
            "and please report it"
        )


def _bytes(label: str, row: int) -> bytes:
    return hashlib.sha256(f"{label} {row}".encode()).digest()


def _table(rows: list[bytes]) -> NDArray[Any]:
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)


def _key(scalar: bytes, point: bytes, info: bytes) -> bytes | None:
    try:
        secret = X25519PrivateKey.from_private_bytes(scalar).exchange(X25519PublicKey.from_public_bytes(point))
    except ValueError:  # OpenSSL's refusal of an all-zero product
        return None
    return HKDF(hashes.SHA256(), 32, SALT, info).derive(secret)
