"""What every agreement kernel is held to: `cryptography`, pair by pair."""

import json
from functools import cache
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from secagg.kernels._memory import aligned
from secagg.kernels.agreement import batch, hkdf, x25519

VECTORS = Path(__file__).parents[1] / "vectors"
RFC_7748 = json.loads((VECTORS / "x25519_rfc7748.json").read_text())
LOW_ORDER = [bytes.fromhex(point) for point in json.loads((VECTORS / "x25519_low_order.json").read_text())["points"]]
P = 2**255 - 19
SALT = b"salt"
PAIRS = 97
"""More than a kernel's groups with one inversion, and no multiple of any number of lanes."""


def some_rows(label, n, width):
    draw = np.random.default_rng([n, width, *label.encode()])
    return [draw.bytes(width) for _ in range(n)]


def edge_points():
    """Points at and around 0, p and 2**255, with and without the top bit; and those of low order."""
    around = [(middle + step) % 2**255 for middle in (0, P, 2**255, 2**254, 2**51, 2**204) for step in range(-20, 21)]
    encoded = [value.to_bytes(32, "little") for value in sorted(set(around))]
    topped = [value[:31] + bytes([value[31] | 0x80]) for value in encoded]
    return [*encoded, *topped, *LOW_ORDER, b"\xff" * 32]


def edge_scalars():
    """All that clamping changes, and scalars of few and of many ones."""
    return [bytes(32), b"\xff" * 32, b"\x07" + bytes(30) + b"\x80", b"\xf8" + b"\xff" * 30 + b"\x7f", b"\x55" * 32]


@cache
def key(scalar, point, info, salt=SALT):
    """The key, or None if the product is zero."""
    try:
        secret = X25519PrivateKey.from_private_bytes(scalar).exchange(X25519PublicKey.from_public_bytes(point))
    except ValueError:
        return None
    return HKDF(hashes.SHA256(), 32, salt, info).derive(secret)


def table(rows):
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1 if b"".join(rows) else 0)


def derived(scalars, points, infos, *, bits, salt=SALT, threads=1):
    """One key a row, None where the product is zero."""
    infos = np.zeros((len(infos), 0), np.uint8) if not any(infos) else table(infos)
    keys, is_zero = batch.derive(
        table(scalars) if scalars else np.zeros((0, 32), np.uint8),
        table(points) if points else np.zeros((0, 32), np.uint8),
        infos,
        salt,
        vector_bits=bits,
        threads=threads,
    )
    return [None if zero else row.tobytes() for row, zero in zip(keys, is_zero, strict=True)]


def agrees(scalars, points, infos, **options):
    expected = [key(*row, options.get("salt", SALT)) for row in zip(scalars, points, infos, strict=True)]
    assert derived(scalars, points, infos, **options) == expected


def counts_agree(counts, bits):
    rows = [some_rows(label, PAIRS, 32) for label in ("scalars", "points", "infos")]
    for count in counts:
        agrees(*(column[:count] for column in rows), bits=bits)


def edges_agree(bits):
    points = edge_points()
    for scalar in edge_scalars():
        agrees([scalar] * len(points), points, [b"info"] * len(points), bits=bits)


def lengths_agree(lengths, bits):
    scalars, points = some_rows("scalars", 5, 32), some_rows("points", 5, 32)
    for length in lengths:
        agrees(scalars, points, some_rows("infos", 5, length), bits=bits)


def products(scalars, points, bits):
    """X25519 alone, as bytes."""
    lanes = tuple(range(bits // 64))
    room = aligned((x25519.ROWS, len(lanes)), np.uint64)
    secrets = np.empty((len(scalars), 4), np.uint64)
    x25519.exchange(*(table(rows).copy().view(np.uint64) for rows in (scalars, points)), secrets, room, lanes)
    return [row.tobytes() for row in secrets]


def rfc_7748_agrees(bits):
    cases = [[bytes.fromhex(case[name]) for name in ("scalar", "point", "result")] for case in RFC_7748["products"]]
    scalars, points, results = zip(*cases, strict=True)
    assert products(scalars, points, bits) == list(results)


def rfc_7748_iterates(times, bits):
    scalar = point = bytes.fromhex(RFC_7748["iterated"]["start"])
    for _ in range(times):
        scalar, point = products([scalar], [point], bits)[0], scalar
    assert scalar.hex() == RFC_7748["iterated"][str(times)]


def hkdf_words(secret, info, salt, bits):
    """HKDF alone, of one 32-byte secret."""
    lanes = tuple(range(bits // 32))
    room = aligned((hkdf.ROWS, len(lanes)), np.uint32)
    keys = np.empty((1, 8), np.uint32)
    words = hkdf.padded(np.frombuffer(info, np.uint8).reshape(1, -1)).view(np.uint32)
    secrets = np.frombuffer(secret, np.uint32).reshape(1, 8).copy()
    hkdf.derive(secrets, words, np.frombuffer(salt, np.uint32).copy(), hkdf.CONSTANTS, keys, room, lanes)
    return keys.tobytes()
