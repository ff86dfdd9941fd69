"""A secret under a passphrase opens with it, for its purpose, and with nothing else."""

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from secagg.errors import ConfigError, StateError
from secagg.primitives import passphrase

PHRASE = b"six words that dice have drawn"


def protected(secret=b"the secret", phrase=PHRASE, purpose=b"test"):
    return passphrase.protect(secret, phrase, purpose, os.urandom, log_cost=10)


def test_it_opens():
    for secret in (b"", b"x", bytes(10_000)):
        data = protected(secret)
        assert passphrase.reveal(data, PHRASE, b"test") == secret
        assert len(data) == len(secret) + 50


def test_what_the_format_says():
    """Read by hand: magic, cost, salt, nonce, ciphertext."""
    data = protected(b"hello")
    assert data[:5] == b"SAGP\x01"
    key = Scrypt(salt=data[6:22], length=32, n=2 ** data[5], r=8, p=1).derive(PHRASE)
    assert AESGCM(key).decrypt(data[22:34], data[34:], b"test" + data[:22]) == b"hello"


def test_the_default_cost():
    data = passphrase.protect(b"", PHRASE, b"", os.urandom)
    assert data[5] == passphrase.LOG_COST == 17


def test_nothing_else_opens():
    data = protected()
    for phrase, purpose in ((b"another", b"test"), (PHRASE, b"other"), (PHRASE + b" ", b"test")):
        with pytest.raises(StateError, match="wrong passphrase, or damaged"):
            passphrase.reveal(data, phrase, purpose)
    for place in range(6, len(data)):
        with pytest.raises(StateError):
            passphrase.reveal(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], PHRASE, b"test")
    for length in range(len(data)):
        with pytest.raises(StateError):
            passphrase.reveal(data[:length], PHRASE, b"test")


@pytest.mark.parametrize("cost", [0, 9, 21, 40, 255])
def test_no_file_decides_how_long_it_takes(cost, monkeypatch):
    data = protected()
    monkeypatch.delattr(passphrase, "Scrypt")  # refused before anything is computed
    with pytest.raises(StateError, match="another work"):
        passphrase.reveal(data[:5] + bytes([cost]) + data[6:], PHRASE, b"test")


@pytest.mark.parametrize("phrase", [b"", "text", None])
def test_no_passphrase(phrase):
    with pytest.raises(ConfigError, match="passphrase"):
        protected(phrase=phrase)
    with pytest.raises(ConfigError, match="passphrase"):
        passphrase.reveal(protected(), phrase, b"test")


def test_two_files_of_one_secret_have_nothing_in_common():
    assert protected()[6:] != protected()[6:]
