"""What was sealed opens only with its key and context, unaltered; what was locked likewise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.errors import ConfigError, PeerMisbehaved, StateError
from secagg.primitives import sealing

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))
NONCE = b"twelve bytes"
texts = st.binary(max_size=100)


def nonce(n):
    assert n == len(NONCE)
    return NONCE


def test_known_answer():
    """McGrew and Viega, GCM specification, test cases 13 and 14: zero key of 256 bits, zero nonce."""
    assert sealing.seal(bytes(32), b"", b"").hex() == "530f8afbc74536b9a963b4f1c4cb738b"
    sealed = "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
    assert sealing.seal(bytes(32), bytes(16), b"").hex() == sealed


@given(texts, texts)
def test_open_undoes_seal(plaintext, associated):
    sealed = sealing.seal(KEY, plaintext, associated)
    assert len(sealed) == len(plaintext) + sealing.TAG_BYTES
    assert sealing.open_sealed(KEY, sealed, associated) == plaintext


@given(texts, texts)
def test_unlock_undoes_lock(plaintext, associated):
    locked = sealing.lock(KEY, plaintext, associated, nonce)
    assert locked.startswith(NONCE)
    assert sealing.unlock(KEY, locked, associated) == plaintext


def altered(data):
    """Every single-bit change, and every way to be shorter or longer by a byte."""
    for bit in range(8 * len(data)):
        yield (int.from_bytes(data, "big") ^ (1 << bit)).to_bytes(len(data), "big")
    yield from (data[1:], data[:-1], data + b"\0", b"\0" + data, b"", bytes(12), bytes(28))


@pytest.mark.parametrize(
    ("make", "undo", "error"),
    [
        (sealing.seal, sealing.open_sealed, PeerMisbehaved),
        (lambda *arguments: sealing.lock(*arguments, nonce), sealing.unlock, StateError),
    ],
    ids=["seal", "lock"],
)
def test_nothing_else_opens(make, undo, error):
    made = make(KEY, b"PLAINTEXT", b"CONTEXT")
    attempts = [(KEY, data, b"CONTEXT") for data in altered(made)]
    attempts += [(OTHER, made, b"CONTEXT"), (KEY, made, b"CONTEXT "), (KEY, made, b"")]
    for attempt in attempts:
        with pytest.raises(error) as caught:
            undo(*attempt)
        assert not any(word in str(caught.value) for word in ("PLAINTEXT", "CONTEXT", KEY.hex()))


@pytest.mark.parametrize("key", [b"S" * 16, b"S" * 31, b"S" * 33])
def test_keys_of_another_length(key):
    calls = [
        lambda: sealing.seal(key, b"", b""),
        lambda: sealing.open_sealed(key, bytes(16), b""),
        lambda: sealing.lock(key, b"", b"", nonce),
        lambda: sealing.unlock(key, bytes(28), b""),
    ]
    for call in calls:
        with pytest.raises(ConfigError, match="AES-256 key: expected 32 bytes") as caught:
            call()
        assert "SSS" not in str(caught.value)


def test_a_broken_entropy_locks_nothing():
    with pytest.raises(ConfigError, match=r"entropy\(12\)"):
        sealing.lock(KEY, b"", b"", lambda n: bytes(n + 1))
