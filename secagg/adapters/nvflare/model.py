"""The model in NVFLARE's terms: a DXO of weights in a Shareable. What is summed stands in `secagg.adapters.update`."""

import hashlib
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import numpy as np
from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
from nvflare.apis.shareable import Shareable
from nvflare.app_common.app_constant import AppConstants

from secagg.adapters.choice import Terms
from secagg.adapters.update import Arrays, chosen, update_of, weight_of
from secagg.encoding.layout import Update
from secagg.errors import BadDtype, ConfigError, InputError, SecaggError

WEIGHTED_BY = str(MetaKey.NUM_STEPS_CURRENT_ROUND)
"""Key of `FLModel.meta` that holds the weight, as FedAvg has it."""

_BOUND = (AppConstants.START_ROUND, AppConstants.CURRENT_ROUND, AppConstants.NUM_ROUNDS, AppConstants.VALIDATE_TYPE)
"""Headers that a training script reads."""


def dxo_of(shareable: Shareable, whose: str, error: Callable[[str], SecaggError] = ConfigError) -> DXO:
    """The weights, or differences of weights, in a Shareable. Raises `error` for any other content."""
    try:
        dxo = from_shareable(shareable)
    except (TypeError, ValueError, KeyError):
        raise error(f"{whose}: no DXO, expected one of weights") from None
    if dxo.data_kind not in (DataKind.WEIGHTS, DataKind.WEIGHT_DIFF):
        raise error(f"{whose}: a DXO of {dxo.data_kind}, expected weights or their differences")
    if dxo.get_meta_prop(MetaKey.PROCESSED_ALGORITHM) is not None:
        raise error(f"{whose}: weights that a filter has encrypted or packed, expected plain arrays")
    return dxo


def arrays_of(params: Any, whose: str) -> Arrays:
    """{name: array} of floats, integers and bools; numbers become arrays of shape (). Raises BadDtype or InputError."""
    if not isinstance(params, dict) or not all(isinstance(name, str) for name in params):
        raise InputError(f"{whose}: parameters are no dict of named arrays")
    return {name: _array(name, value, whose) for name, value in params.items()}


def _array(name: str, value: Any, whose: str) -> np.ndarray[Any, Any]:
    if not isinstance(value, np.ndarray | np.generic | int | float):
        raise BadDtype(
            f"{whose}: parameter {name!r} is {type(value).__name__}, expected a NumPy array: "
            "exchange parameters in NumPy's format (server_expected_format)"
        )
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise BadDtype(f"{whose}: parameter {name!r} is {array.dtype}, expected floats or integers")
    return array


def input_of(received: Arrays, reply: Shareable, terms: Terms, weighted: bool) -> tuple[Update, int]:
    """(update, weight) of a trained model.

    Full weights are compared with those `received`; differences of weights are taken as they are. Raises InputError,
    saying what was expected.
    """
    dxo = dxo_of(reply, "result", InputError)
    trained = arrays_of(dxo.data, "result")
    if dxo.data_kind == DataKind.WEIGHT_DIFF:
        received = {name: np.zeros_like(array) for name, array in received.items()}
    metrics = dxo.get_meta_prop(MetaKey.INITIAL_METRICS)
    if terms.metrics and not isinstance(metrics, dict):
        raise InputError(f"result without metrics, expected {terms.metrics}")
    weight = weight_of(dxo.meta, terms.weighted_by) if weighted else 1
    return update_of(received, trained, chosen(metrics or {}, terms.metrics)), weight


def context_of(job: str, task: str, content: Shareable) -> bytes:
    """SHA-256 of all that a site trains by: job, task, round, every parameter, and what stands beside them.

    Raises ConfigError for something beside them that has no bytes of its own.
    """
    dxo = dxo_of(content, f"task {task!r}")
    digest = hashlib.sha256(b"secagg/nvflare/1")
    _feed(digest, [job, task, dxo.data_kind, [content.get_header(name) for name in _BOUND]])
    _feed(digest, arrays_of(dxo.data, f"task {task!r}"))
    _feed(digest, dxo.meta)
    return digest.digest()


def _feed(digest: Any, value: Any) -> None:
    """Any tree of arrays, numbers and texts, unambiguously; dicts in the order of their keys."""
    if isinstance(value, np.ndarray):
        _head(digest, "array", value.dtype.str, value.shape)
        digest.update(np.ascontiguousarray(value).tobytes())
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
    elif value is None or isinstance(value, str | bytes | int | float):
        _head(digest, "value", value)
    else:
        raise ConfigError(
            f"{type(value).__name__} beside the model: a secure sum is bound to all that sites train by, "
            "expected numbers, texts, arrays, and lists and dicts of them"
        )


def _head(digest: Any, *parts: object) -> None:
    """`repr` reads back as the same value."""
    text = repr(parts).encode()
    digest.update(len(text).to_bytes(8, "little") + text)


def metrics_of(shareable: Shareable) -> dict[str, float] | None:
    """{name: number} of a DXO of metrics; None for any other content."""
    try:
        dxo = from_shareable(shareable)
    except (TypeError, ValueError, KeyError):
        return None
    numbers = all(
        isinstance(name, str) and isinstance(value, int | float | np.number | np.bool_)
        for name, value in dxo.data.items()
    )
    return dict(dxo.data) if numbers and dxo.data_kind == DataKind.METRICS else None


def metrics_alone(metrics: dict[str, float]) -> Shareable:
    """They, and nothing beside them."""
    return DXO(DataKind.METRICS, data=metrics).to_shareable()
