"""Key agreement: X25519 (RFC 7748) and HKDF-SHA256 (RFC 5869)."""

import hashlib
from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from numpy.typing import NDArray

from secagg.errors import ConfigError, OutOfRange, PeerMisbehaved
from secagg.kernels import agreement as kernel
from secagg.primitives import curve25519
from secagg.primitives._bytes import of_length
from secagg.spans import span

KEY_BYTES = curve25519.KEY_BYTES
"""Length of a private scalar, of a public key and of a shared secret."""

_P = 2**255 - 19
_LOW_ORDER = frozenset(
    {
        0,
        1,
        _P - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)
"""All u of points whose order divides 8, on the curve and on its twist; X25519's scalars are multiples of 8."""

generate = curve25519.generate

_PRIVATE, _PUBLIC = "X25519 private key", "X25519 public key"
_IS_LOW = "X25519 public key is a point of low order: the shared secret would be zero"
_HASH = 32
_BLOCK = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))  # RFC 2104: ipad and opad, as translation tables
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


@span("X25519 of single keys")
def public_key(private: bytes) -> bytes:
    """X25519(private, 9), 32 bytes (RFC 7748, 6.1).

    Raises:
        ConfigError: `private` is not 32 bytes.
    """
    return curve25519.public_bytes(_private_key(private))


@span("X25519 of single keys")
def shared_secret(private: bytes, public: bytes) -> bytes:
    """X25519(private, public), 32 bytes; to be hashed before use.

    Raises:
        ConfigError: either key is not 32 bytes.
        PeerMisbehaved: the result is all zero (RFC 7748, 6.1): the peer sent a point of low order.
    """
    secret = _exchange(_private_key(private), _public_key(public))
    if secret is None:
        raise PeerMisbehaved(_IS_LOW)
    return secret


def check_order(public: bytes) -> None:
    """Raise PeerMisbehaved (no culprits) for a point whose order divides 8.

    X25519 with it is all zero, whatever the private key (RFC 7748, 6.1). As X25519 does (section 5), this ignores the
    highest bit and reduces modulo 2**255 - 19. Not constant-time: what it reads is public.

    Raises:
        ConfigError: `public` is not 32 bytes.
    """
    u = int.from_bytes(of_length(public, KEY_BYTES, _PUBLIC), "little") % 2**255
    if u % _P in _LOW_ORDER:
        raise PeerMisbehaved(_IS_LOW)


def hkdf(secret: bytes, *, info: bytes, salt: bytes = b"", length: int = 32) -> bytes:
    """Extract-and-expand, RFC 5869 2.2 and 2.3, with SHA-256.

    Args:
        secret: input keying material, of any length.
        info: what the key is for; distinct purposes get independent keys.
        salt: public; empty stands for 32 zero bytes.
        length: bytes to return, 1..8160.

    Raises:
        OutOfRange: `length` is out of range.
    """
    if not 1 <= length <= 255 * _HASH:
        raise OutOfRange(f"hkdf length must lie in 1..{255 * _HASH}, got {length}")
    extract = _Hmac(salt)
    expand = _Hmac(extract.digest(secret))
    block = okm = b""
    for counter in range(1, -(-length // _HASH) + 1):
        block = expand.digest(block + info + bytes([counter]))
        okm += block
    return okm[:length]


@span("X25519 and HKDF of pairs")
def derive_many(
    privates: Sequence[bytes], publics: Sequence[bytes], infos: Sequence[bytes], salt: bytes
) -> list[bytes | None]:
    """Row i is hkdf(X25519(privates[i], publics[i]), info=infos[i], salt=salt), 32 bytes.

    A row whose shared secret is all zero (`publics[i]` is a point of low order) is None. Many rows are derived
    together where the processor can, on several threads and without the GIL (`secagg.kernels.agreement`). Few are
    derived one by one, and then equal keys are parsed once (a private one costs as much as an exchange, a public one
    a fifteenth), so that a row costs one exchange.

    Raises:
        ConfigError: the three sequences differ in length, or a key is not 32 bytes; or as
            `secagg.kernels.agreement.derive` says.
    """
    if not len(privates) == len(publics) == len(infos):
        counts = f"{len(privates)} privates, {len(publics)} publics, {len(infos)} infos"
        raise ConfigError(f"derive_many: expected as many of each, got {counts}")
    for keys, what in ((privates, _PRIVATE), (publics, _PUBLIC)):
        for key in set(keys):
            of_length(key, KEY_BYTES, what)
    if len(set(map(len, infos))) == 1:
        return _derived(privates, publics, infos, salt)
    found: list[bytes | None] = [None] * len(infos)
    for chosen in _alike(infos):
        some_privates, some_publics, some_infos = ([rows[i] for i in chosen] for rows in (privates, publics, infos))
        for i, derived in zip(chosen, _derived(some_privates, some_publics, some_infos, salt), strict=True):
            found[i] = derived
    return found


def _alike(infos: Sequence[bytes]) -> list[list[int]]:
    """Places of infos of equal length."""
    places: dict[int, list[int]] = {}
    for i, info in enumerate(infos):
        places.setdefault(len(info), []).append(i)
    return list(places.values())


def _derived(
    privates: Sequence[bytes], publics: Sequence[bytes], infos: Sequence[bytes], salt: bytes
) -> list[bytes | None]:
    """`derive_many` for infos of one length."""
    if not kernel.is_worth(len(infos)):
        return _one_by_one(privates, publics, infos, salt)
    keys, is_zero = kernel.derive(_table(privates), _table(publics), _table(infos), salt)
    data = keys.tobytes()
    rows: list[bytes | None] = [data[at : at + _HASH] for at in range(0, len(data), _HASH)]
    for i in np.flatnonzero(is_zero):
        rows[i] = None
    return rows


def _table(rows: Sequence[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)


def _one_by_one(
    privates: Sequence[bytes], publics: Sequence[bytes], infos: Sequence[bytes], salt: bytes
) -> list[bytes | None]:
    parsed = {private: _private_key(private) for private in set(privates)}
    peers = {public: _public_key(public) for public in set(publics)}
    extract = _Hmac(salt)
    rows: list[bytes | None] = []
    for private, public, info in zip(privates, publics, infos, strict=True):
        secret = _exchange(parsed[private], peers[public])
        rows.append(None if secret is None else _Hmac(extract.digest(secret)).digest(info + b"\x01"))
    return rows


def _private_key(private: bytes) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(of_length(private, KEY_BYTES, _PRIVATE))


def _public_key(public: bytes) -> X25519PublicKey:
    return X25519PublicKey.from_public_bytes(of_length(public, KEY_BYTES, _PUBLIC))


def _exchange(private: X25519PrivateKey, public: X25519PublicKey) -> bytes | None:
    """The shared secret, or None where it is all zero."""
    try:
        return private.exchange(public)
    except ValueError:  # OpenSSL's refusal of an all-zero result; nothing else is left to go wrong
        return None


class _Hmac:
    """HMAC-SHA256 (RFC 2104) with the key's two blocks hashed once, at half the price of a general one."""

    def __init__(self, key: bytes) -> None:
        block = (key if len(key) <= _BLOCK else hashlib.sha256(key).digest()).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER))
        self._outer = hashlib.sha256(block.translate(_OUTER))

    def digest(self, message: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()
