"""What else could make a mask: OpenSSL's AES-128-CTR, and NumPy's generators, which are no ciphers."""

from collections.abc import Iterable

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from bench.measure import Work

OPENSSL, PCG64, MT19937 = "OpenSSL AES-128-CTR", "NumPy PCG64", "NumPy MT19937"
SLACK = 16


def streams(size: int, names: Iterable[str]) -> dict[str, Work]:
    """{name: work that makes `size` bytes of it}; OpenSSL writes to a buffer that is there already."""
    return {name: _stream(name, size) for name in names}


def _stream(name: str, size: int) -> Work:
    if name == OPENSSL:
        return _openssl(size)
    generator = np.random.Generator({PCG64: np.random.PCG64, MT19937: np.random.MT19937}[name](1))
    return lambda: generator.integers(0, 1 << 32, size // 4, np.uint32)


def _openssl(size: int) -> Work:
    zeros, room = bytes(size), bytearray(size + SLACK)
    room[:] = bytes(len(room))  # so that the first run does not pay for its pages

    def work() -> None:
        Cipher(algorithms.AES(bytes(16)), modes.CTR(bytes(16))).encryptor().update_into(zeros, room)

    return work
