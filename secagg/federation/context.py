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
    _feed(digest, plain(what))
    return digest.digest()


def plain(value: object) -> Any:
    """The one form of all values that have one digest: arrays in C order, Python's own dicts, lists, numbers and texts.

    What has no digest comes back as it is.
    """
    if isinstance(value, np.ndarray):
        return np.asarray(value, order="C")
    if isinstance(value, Mapping):
        return {plain(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, np.generic) and not isinstance(value.item(), np.generic):
        return value.item()
    return value


def model_digest(arrays: Mapping[str, Any]) -> bytes:
    """The digest of the arrays alone: names, order, dtypes, shapes, entries."""
    return digest_of("secagg/model/1", arrays)


def terms_of(weighted_by: str, metrics: Mapping[str, float]) -> bytes:
    """The digest of what, beside model and encoding, decides which vector an update becomes."""
    return digest_of("secagg/terms/1", weighted_by, metrics)


def session_context(received: bytes, terms: bytes) -> bytes:
    """A session's context: what reaches the user's code (`digest_of` it), and what of its results is summed and how."""
    return digest_of("secagg/round/1", received, terms)


def sorted_by_key(values: Mapping[str, V]) -> dict[str, V]:
    """The same in the order of the keys: for what comes in an order of the transport's own."""
    return dict(sorted(values.items()))


def _feed(digest: Any, value: object) -> None:
    """Of what `plain` returned."""
    if isinstance(value, dict):
        _head(digest, "dict", len(value))
        for pair in value.items():
            _feed(digest, list(pair))
    elif isinstance(value, list):
        _head(digest, "list", len(value))
        for item in value:
            _feed(digest, item)
    else:
        _feed_leaf(digest, value)


def _feed_leaf(digest: Any, value: object) -> None:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufcSU":
        _head(digest, "array", value.dtype.str, value.shape)
        digest.update(value.tobytes())
    elif isinstance(value, bytes):
        _head(digest, "bytes", len(value))
        digest.update(value)
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
