"""The digest of all that a client trains by. Both ends compute it, each from what it sent or received itself."""

import hashlib
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np

from secagg.errors import ConfigError


def digest_of(*what: object) -> bytes:
    """SHA-256 of any trees of arrays, bytes, numbers and texts, unambiguously; dicts in the order of their keys.

    Raises ConfigError for something that has no bytes of its own.
    """
    digest = hashlib.sha256(b"secagg/context/1")
    _feed(digest, what)
    return digest.digest()


def model_of(arrays: Mapping[str, Any]) -> bytes:
    """The digest of the arrays alone: names, order, dtypes, shapes, entries."""
    return digest_of("secagg/model/1", arrays)


def context_of(received: bytes, terms: bytes) -> bytes:
    """A session's context: what reaches the user's code (`digest_of` it), and what of its results is summed and how."""
    return digest_of("secagg/round/1", received, terms)


def _feed(digest: Any, value: object) -> None:
    if isinstance(value, np.ndarray):
        _head(digest, "array", value.dtype.str, value.shape)
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, bytes):
        _head(digest, "bytes", len(value))
        digest.update(value)
    elif isinstance(value, Mapping):
        _head(digest, "dict", len(value))
        for key in sorted(value, key=repr):
            _feed(digest, key)
            _feed(digest, value[key])
    elif isinstance(value, list | tuple):
        _head(digest, "list", len(value))
        for item in value:
            _feed(digest, item)
    elif isinstance(value, np.generic | Enum):
        _feed(digest, value.item() if isinstance(value, np.generic) else value.value)
    elif value is None or isinstance(value, str | int | float):
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
