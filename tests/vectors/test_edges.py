"""Vectors of Project Wycheproof against `secagg.primitives`: signatures, ciphertexts, keys and points that somebody has
bent, or that lie at an edge of the arithmetic. Its edges stand in `edges.json`; all of it runs where it lies in
`../shared/vectors/wycheproof`, beside the repository.
"""

import hashlib
import hmac

import numpy as np
import pytest
import wycheproof

from secagg.errors import ConfigError, OutOfRange, PeerMisbehaved, StateError
from secagg.kernels import agreement as kernels
from secagg.primitives import agreement, sealing, signing

ZERO = bytes(agreement.KEY_BYTES)


@pytest.fixture(params=["edges", "all of Wycheproof"], scope="module")
def rows(request):
    if request.param == "edges":
        return wycheproof.edges()
    if not wycheproof.FOLDER.is_dir():
        pytest.skip("Wycheproof's vectors are not beside this repository")
    return wycheproof.everything()


def of_hex(row, *names):
    return [bytes.fromhex(row[name]) for name in names]


def raised(kind, call, *args, **options):
    """Whether the call raises that error; any other passes through."""
    try:
        call(*args, **options)
    except kind:
        return True
    return False


def wrong(found):
    """What the rows are that ended otherwise than they should: [(row, whether right)] in, none out."""
    assert len(found) > 10
    return [row["is"] for row, right in found if not right]


def test_the_edges_are_those_that_would_be_selected_today():
    if not wycheproof.FOLDER.is_dir():
        pytest.skip("Wycheproof's vectors are not beside this repository")
    assert wycheproof.edges() == {name: kind.selected() for name, kind in wycheproof.KINDS.items()}


def test_the_edges_are_few_and_of_all_kinds():
    assert wycheproof.EDGES.stat().st_size < 60_000
    assert {name: len(found) for name, found in wycheproof.edges().items()} == {
        "x25519": 97,
        "ed25519": 41,
        "hkdf_sha256": 20,
        "hmac_sha256": 12,
        "aes_gcm": 31,
    }


def test_x25519(rows):
    """A point of low order is refused, by its product and by its coordinate; all else has the stated product."""
    found = []
    for row in rows["x25519"]:
        private, public, shared = of_hex(row, "private", "public", "shared")
        low = shared == ZERO
        if raised(PeerMisbehaved, agreement.shared_secret, private, public):
            found.append((row, low))
        else:
            found.append((row, not low and agreement.shared_secret(private, public) == shared))
        found.append((row, raised(PeerMisbehaved, agreement.check_order, public) == low))
    assert wrong(found) == []
    assert any(bytes.fromhex(row["shared"]) == ZERO for row in rows["x25519"])


def expanded(secret, info, salt):
    """RFC 5869 for 32 bytes, by the standard library; None where X25519 gives no secret."""
    if secret == ZERO:
        return None
    key = hmac.digest(salt or ZERO, secret, "sha256")
    return hmac.digest(key, info + b"\x01", "sha256")


def columns(rows):
    """(privates, publics, shared) of all rows."""
    return zip(*(of_hex(row, "private", "public", "shared") for row in rows["x25519"]), strict=True)


def infos_of(count, length):
    return [hashlib.shake_128(at.to_bytes(2, "big")).digest(length) for at in range(count)]


def as_bytes(texts):
    return np.frombuffer(b"".join(texts), np.uint8).reshape(len(texts), -1)


@pytest.mark.parametrize("name", list(kernels.IMPLEMENTATIONS))
def test_x25519_and_hkdf_in_lanes(rows, name):
    """Infos and salts of lengths around the hash's blocks."""
    privates, publics, secrets = columns(rows)
    found = []
    for salt in (ZERO, b"s", b"S" * 64, b"L" * 100):
        for length in (1, 45, 46, 53, 54, 55, 118):
            infos = infos_of(len(secrets), length)
            keys, is_zero = kernels.IMPLEMENTATIONS[name](as_bytes(privates), as_bytes(publics), as_bytes(infos), salt)
            for row, secret, info, key, zero in zip(rows["x25519"], secrets, infos, keys, is_zero, strict=True):
                found.append((row, (None if zero else key.tobytes()) == expanded(secret, info, salt)))
    assert wrong(found) == []


@pytest.mark.parametrize("in_lanes", [False, True])
def test_derive_many(rows, in_lanes):
    if in_lanes:
        kernels.load()
    privates, publics, secrets = columns(rows)
    infos = infos_of(len(secrets), 5)
    expected = [expanded(secret, info, b"salt") for secret, info in zip(secrets, infos, strict=True)]
    assert agreement.derive_many(list(privates), list(publics), infos, b"salt") == expected


def test_ed25519(rows):
    found = []
    for row in rows["ed25519"]:
        refused = raised(PeerMisbehaved, signing.verify, *of_hex(row, "public", "message", "signature"))
        found.append((row, refused != row["valid"]))
    assert wrong(found) == []


def test_hkdf(rows):
    found = []
    for row in rows["hkdf_sha256"]:
        secret, salt, info = of_hex(row, "secret", "salt", "info")
        options = {"info": info, "salt": salt, "length": row["length"]}
        if row["sha256"] is None:
            right = raised(OutOfRange, agreement.hkdf, secret, **options)
        else:
            right = hashlib.sha256(agreement.hkdf(secret, **options)).hexdigest() == row["sha256"]
        found.append((row, right))
    assert wrong(found) == []


def test_hmac_inside_derive_many(rows):
    """It is private, and hashes a key's two blocks once; tags may be cut short."""
    found = []
    for row in rows["hmac_sha256"]:
        key, message, tag = of_hex(row, "hmac_key", "message", "hmac_tag")
        same = agreement._Hmac(key).digest(message)[: len(tag)] == tag
        found.append((row, same == row["valid"]))
    assert wrong(found) == []


def test_aes_gcm(rows):
    """With keys, nonces and tags of the lengths that `sealing` makes; a key of another length is refused."""
    found = []
    for row in rows["aes_gcm"]:
        key, nonce, data, plaintext, ciphertext, tag = of_hex(
            row, "key", "nonce", "data", "plaintext", "ciphertext", "tag"
        )
        locked = nonce + ciphertext + tag
        if len(key) != sealing.KEY_BYTES:
            right = raised(ConfigError, sealing.unlock, key, bytes(sealing.NONCE_BYTES) + ciphertext + tag, data)
        elif not wycheproof.fits(row):
            continue
        elif row["valid"]:
            right = sealing.unlock(key, locked, data) == plaintext
            right &= sealing.lock(key, plaintext, data, lambda _, nonce=nonce: nonce) == locked
        else:
            right = raised(StateError, sealing.unlock, key, locked, data)
        if right and nonce == bytes(sealing.NONCE_BYTES) and wycheproof.fits(row):  # the one that `seal` uses
            right = (sealing.seal(key, plaintext, data) == ciphertext + tag) == row["valid"]
        found.append((row, right))
    assert wrong(found) == []
