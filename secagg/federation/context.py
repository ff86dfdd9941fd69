"""The digest of all that a client trains by. Both ends compute it, each from what it sent or received itself."""

import hashlib
import struct
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar

import numpy as np

from secagg.errors import ConfigError

V = TypeVar("V")


def digest_of(*what: object) -> bytes:
    """SHA-256 of any trees of arrays, bytes, numbers and texts, unambiguously, in the order in which they come.

    That of dicts too: user code may take a model's arrays by their place. Where a transport keeps no order, sort at
    the client before user code sees it (`sorted_by_key`), and at the server. Tuples count as lists, and NumPy's
    numbers as Python's, since transports turn one into the other.

    Raises ConfigError for something that has no bytes of its own.
    """
    digest = hashlib.sha256(b"secagg/context/2")
    _feed(digest, what)
    return digest.digest()


def model_of(arrays: Mapping[str, Any]) -> bytes:
    """The digest of the arrays alone: names, order, dtypes, shapes, entries."""
    return digest_of("secagg/model/1", arrays)


def terms_of(weighted_by: str, metrics: Mapping[str, float]) -> bytes:
    """The digest of what, beside model and encoding, decides which vector an update becomes."""
    return digest_of("secagg/terms/1", weighted_by, metrics)


def context_of(received: bytes, terms: bytes) -> bytes:
    """A session's context: what reaches the user's code (`digest_of` it), and what of its results is summed and how."""
    return digest_of("secagg/round/1", received, terms)


def sorted_by_key(values: Mapping[str, V]) -> dict[str, V]:
    """The same in the order of the keys: for what comes in an order of the transport's own."""
    return dict(sorted(values.items()))


def _feed(digest: Any, value: object) -> None:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufcSU":
        _head(digest, "array", value.dtype.str, value.shape)
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, bytes):
        _head(digest, "bytes", len(value))
        digest.update(value)
    elif isinstance(value, Mapping):
        _head(digest, "dict", len(value))
        for pair in value.items():
            _feed(digest, pair)
    elif isinstance(value, list | tuple):
        _head(digest, "list", len(value))
        for item in value:
            _feed(digest, item)
    elif isinstance(value, Enum):
        _feed(digest, value.value)
    elif isinstance(value, np.generic) and not isinstance(value.item(), np.generic):
        _feed(digest, value.item())
    elif isinstance(value, float):  # all of its bits: `repr` tells no NaN from another
        _head(digest, "float", struct.pack("<d", value))
    elif value is None or isinstance(value, str | int):
        _head(digest, "value", value)
    else:
        raise ConfigError(
            f"{type(value).__name__} beside the model: a secure sum is bound to all that clients train by, "
            "expected numbers, texts, arrays, and lists and dicts of them"
        )


def _head(digest: Any, *parts: object) -> None:
    """`repr` reads back as the same value, and its length stands before it, so no two trees have the same bytes."""
    text = repr(parts).encode()
    digest.update(len(text).to_bytes(8, "little") + text)
