"""Secrets in a file, under a passphrase: scrypt (RFC 7914) makes the key, AES-256-GCM encrypts and authenticates.

offset  size  field
0       5     magic "SAGP", version 1
5       1     log2 of scrypt's cost N; r = 8, p = 1
6       16    salt
22      12    nonce
34      ...   ciphertext and tag
"""

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from secagg.errors import StateError
from secagg.primitives import sealing
from secagg.primitives.entropy import Entropy, draw
from secagg.primitives.keyfile import checked_passphrase

LOG_COST = 17
"""128 MiB and half a second a guess."""
MOST_LOG_COST = 20
"""A file that asks for more is refused before anything is computed: 1 GiB."""
LEAST_LOG_COST = 10
SALT_BYTES = 16
_MAGIC = b"SAGP\x01"
_HEADER = len(_MAGIC) + 1 + SALT_BYTES


def protect(secret: bytes, passphrase: bytes, purpose: bytes, entropy: Entropy, log_cost: int = LOG_COST) -> bytes:
    """`secret` as the bytes of a file, which only `passphrase` and the same `purpose` open.

    What the passphrase lacks in entropy, scrypt replaces only in part: choose a long one.

    Raises:
        ConfigError: the passphrase is empty or no bytes.
    """
    header = _MAGIC + bytes([log_cost]) + draw(entropy, SALT_BYTES)
    return header + sealing.lock(_key(header, passphrase), secret, purpose + header, entropy)


def reveal(data: bytes, passphrase: bytes, purpose: bytes) -> bytes:
    """The secret that `protect` hid.

    Raises:
        ConfigError: the passphrase is empty or no bytes.
        StateError: another passphrase or purpose, a damaged file, or one of another kind.
    """
    if len(data) < _HEADER or not data.startswith(_MAGIC):
        raise StateError("not a file under a passphrase")
    if not LEAST_LOG_COST <= data[len(_MAGIC)] <= MOST_LOG_COST:
        raise StateError(f"file asks for another work than scrypt's N of 2**{LEAST_LOG_COST}..2**{MOST_LOG_COST}")
    header = data[:_HEADER]
    try:
        return sealing.unlock(_key(header, passphrase), data[_HEADER:], purpose + header)
    except StateError:
        raise StateError("file does not open: wrong passphrase, or damaged") from None


def _key(header: bytes, passphrase: bytes) -> bytes:
    secret = checked_passphrase(passphrase)
    cost = 1 << header[len(_MAGIC)]
    return Scrypt(salt=header[-SALT_BYTES:], length=sealing.KEY_BYTES, n=cost, r=8, p=1).derive(secret)
