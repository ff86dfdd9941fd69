"""Project Wycheproof's vectors against `secagg.primitives`: signatures, ciphertexts, keys and points that an attacker
has bent. This one is no attack that succeeds: all of it passes, and has to stay so.

The vectors lie in `../shared/vectors/wycheproof`, beside the repository; without them the module is skipped.

Closed when: it is, already.
"""

import hashlib
import hmac
import json
from pathlib import Path

import numpy as np
import pytest

from secagg.errors import ConfigError, OutOfRange, PeerMisbehaved, StateError
from secagg.kernels import agreement as kernels
from secagg.primitives import agreement, sealing, signing

VECTORS = Path(__file__).parents[4] / "shared" / "vectors" / "wycheproof"
if not VECTORS.is_dir():
    pytest.skip("Wycheproof's vectors are not beside this repository", allow_module_level=True)

ZERO = bytes(agreement.KEY_BYTES)


def cases(name):
    """(group, test) of all, bytes for hexadecimal."""
    groups = json.loads((VECTORS / f"{name}.json").read_text())["testGroups"]
    return [(group, test) for group in groups for test in group["tests"]]


def of_hex(test, *names):
    return [bytes.fromhex(test[name]) for name in names]


def raised(kind, call, *args, **options):
    """Whether the call raises that error; any other passes through."""
    try:
        call(*args, **options)
    except kind:
        return True
    return False


def wrong(found):
    """Numbers of the tests that ended otherwise than they should: [(number, whether right)] in, none out."""
    assert len(found) > 10
    return [number for number, right in found if not right]


X25519 = [(test, *of_hex(test, "private", "public", "shared")) for _, test in cases("x25519_test")]


def test_x25519():
    """A point of low order is refused, by its product and by its coordinate; all else has the stated product."""
    found = []
    for test, private, public, shared in X25519:
        low = shared == ZERO
        if raised(PeerMisbehaved, agreement.shared_secret, private, public):
            found.append((test["tcId"], low))
        else:
            found.append((test["tcId"], not low and agreement.shared_secret(private, public) == shared))
        found.append((test["tcId"], raised(PeerMisbehaved, agreement.check_order, public) == low))
    assert wrong(found) == []
    assert sum(shared == ZERO for *_, shared in X25519) > 10


def expanded(secret, info, salt):
    """RFC 5869 for 32 bytes, by the standard library."""
    key = hmac.digest(salt or ZERO, secret, "sha256")
    return hmac.digest(key, info + b"\x01", "sha256")


def infos_of(length):
    return [hashlib.shake_128(test["tcId"].to_bytes(2, "big")).digest(length) for test, *_ in X25519]


@pytest.mark.parametrize("name", list(kernels.IMPLEMENTATIONS))
def test_x25519_and_hkdf_in_lanes(name):
    """Infos and salts of lengths around the hash's blocks."""
    columns = ([row[at] for row in X25519] for at in (1, 2))
    scalars, points = (np.frombuffer(b"".join(column), np.uint8).reshape(-1, 32) for column in columns)
    found = []
    for salt in (ZERO, b"s", b"S" * 64, b"L" * 100):
        for length in (1, 45, 46, 53, 54, 55, 118):
            infos = infos_of(length)
            table = np.frombuffer(b"".join(infos), np.uint8).reshape(len(infos), -1)
            keys, is_zero = kernels.IMPLEMENTATIONS[name](scalars, points, table, salt)
            for (test, _, _, shared), info, key, zero in zip(X25519, infos, keys, is_zero, strict=True):
                low = shared == ZERO
                right = zero if low else not zero and key.tobytes() == expanded(shared, info, salt)
                found.append((test["tcId"], right))
    assert wrong(found) == []


@pytest.mark.parametrize("in_lanes", [False, True])
def test_derive_many(in_lanes):
    if in_lanes:
        kernels.load()
    infos = infos_of(5)
    derived = agreement.derive_many([row[1] for row in X25519], [row[2] for row in X25519], infos, b"salt")
    expected = [None if s == ZERO else expanded(s, i, b"salt") for (*_, s), i in zip(X25519, infos, strict=True)]
    assert derived == expected


def test_ed25519():
    found = []
    for group, test in cases("ed25519_test"):
        public = bytes.fromhex(group["publicKey"]["pk"])
        refused = raised(PeerMisbehaved, signing.verify, public, *of_hex(test, "msg", "sig"))
        found.append((test["tcId"], refused == (test["result"] == "invalid")))
    assert wrong(found) == []


def test_hkdf():
    found = []
    for _, test in cases("hkdf_sha256_test"):
        secret, salt, info, key = of_hex(test, "ikm", "salt", "info", "okm")
        size = {"info": info, "salt": salt, "length": test["size"]}
        if test["result"] == "invalid":
            right = raised(OutOfRange, agreement.hkdf, secret, **size)
        else:
            right = agreement.hkdf(secret, **size) == key
        found.append((test["tcId"], right))
    assert wrong(found) == []


def test_hmac_inside_derive_many():
    """It is private, and hashes a key's two blocks once; tags may be cut short."""
    found = []
    for _, test in cases("hmac_sha256_test"):
        key, message, tag = of_hex(test, "key", "msg", "tag")
        same = agreement._Hmac(key).digest(message)[: len(tag)] == tag
        found.append((test["tcId"], same == (test["result"] == "valid")))
    assert wrong(found) == []


def fits(key, nonce, tag):
    """What `sealing` makes: 256-bit keys, 96-bit nonces, 128-bit tags."""
    return (len(key), len(nonce), len(tag)) == (sealing.KEY_BYTES, sealing.NONCE_BYTES, sealing.TAG_BYTES)


def test_aes_gcm():
    found = []
    for _, test in cases("aes_gcm_test"):
        key, nonce, data, message, ciphertext, tag = of_hex(test, "key", "iv", "aad", "msg", "ct", "tag")
        if not fits(key, nonce, tag):
            continue
        locked, valid = nonce + ciphertext + tag, test["result"] == "valid"
        if valid:
            right = sealing.unlock(key, locked, data) == message
            right &= sealing.lock(key, message, data, lambda _, nonce=nonce: nonce) == locked
        else:
            right = raised(StateError, sealing.unlock, key, locked, data)
        if nonce == bytes(sealing.NONCE_BYTES):  # the one that `seal` uses
            right &= (sealing.seal(key, message, data) == ciphertext + tag) == valid
        found.append((test["tcId"], right))
    assert wrong(found) == []


def test_aes_gcm_with_keys_of_another_length():
    for _, test in cases("aes_gcm_test"):
        key, ciphertext, tag = of_hex(test, "key", "ct", "tag")
        if len(key) != sealing.KEY_BYTES:
            assert raised(ConfigError, sealing.unlock, key, bytes(sealing.NONCE_BYTES) + ciphertext + tag, b"")
