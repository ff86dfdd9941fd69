"""The model in NVFLARE's terms: a DXO of weights in a Shareable. `federation.update` says what is summed of it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
from nvflare.apis.fl_constant import ServerCommandKey
from nvflare.apis.shareable import ReservedHeaderKey, Shareable
from nvflare.private.defs import TaskConstant

from secagg.adapters.nvflare.envelope import KEY
from secagg.errors import BadDtype, ConfigError, InputError, SecaggError
from secagg.federation.client import Trained
from secagg.federation.context import digest_of, plain
from secagg.federation.update import Arrays, summable

WEIGHTED_BY = str(MetaKey.NUM_STEPS_CURRENT_ROUND)
"""Key of `FLModel.meta` that holds the weight, as FedAvg has it."""

WITHHELD = frozenset(
    {
        ReservedHeaderKey.TOPIC,
        ReservedHeaderKey.RC,
        ReservedHeaderKey.COOKIE_JAR,
        ReservedHeaderKey.PEER_PROPS,
        ReservedHeaderKey.REPLY_IS_LATE,
        ReservedHeaderKey.TASK_NAME,
        ReservedHeaderKey.TASK_ID,
        ReservedHeaderKey.WORKFLOW,
        ReservedHeaderKey.AUDIT_EVENT_ID,
        ReservedHeaderKey.TASK_OPERATOR,
        ReservedHeaderKey.ERROR,
        ReservedHeaderKey.PEER_CTX,
        ReservedHeaderKey.MSG_ROOT_ID,
        ReservedHeaderKey.MSG_ROOT_TTL,
        ReservedHeaderKey.PASS_THROUGH,
        ServerCommandKey.TASK_NAME,
        ServerCommandKey.MIN_GET_TASK_TIMEOUT,
        TaskConstant.WAIT_TIME,
    }
)
"""Headers that NVFLARE sets for each site: no training goes by them. All others are bound (`content_digest`)."""


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
    return summable(np.asarray(value), f"{whose}: parameter {name!r}")


def trained_of(received: Arrays, reply: Shareable) -> Trained:
    """What a result holds for the sum; raises InputError. Differences of weights are taken as they are."""
    dxo = dxo_of(reply, "result", InputError)
    if dxo.data_kind == DataKind.WEIGHT_DIFF:
        received = {name: np.zeros_like(array) for name, array in received.items()}
    metrics = dxo.get_meta_prop(MetaKey.INITIAL_METRICS)
    return Trained(received, arrays_of(dxo.data, "result"), dxo.meta, metrics if isinstance(metrics, dict) else {})


def bound(shareable: Shareable) -> Shareable:
    """What a site may train by: all but this adapter's entry and headers that are `WITHHELD`, in the order it came in.

    Two contents of one digest are the same here: arrays lie in C order; lists, numbers and texts are Python's own.
    """
    headers = {name: value for name, value in _headers(shareable).items() if name not in WITHHELD}
    beside = {name: value for name, value in shareable.items() if name not in (KEY, ReservedHeaderKey.HEADERS)}
    content = Shareable(plain(beside))
    content[ReservedHeaderKey.HEADERS] = plain(headers)
    return content


def _headers(shareable: Shareable) -> Mapping[str, Any]:
    headers = shareable.get(ReservedHeaderKey.HEADERS) or {}
    if not isinstance(headers, Mapping):
        raise ConfigError(f"headers are {type(headers).__name__}, expected a dict")
    return headers


def content_digest(job: str, task: str, content: Shareable) -> bytes:
    """The digest of all that a site trains by: job, task, and what `bound` returned, in its order.

    Raises ConfigError for something in it that has no bytes of its own.
    """
    return digest_of("secagg/nvflare/2", job, task, content)


def metrics_alone(shareable: Shareable) -> Shareable | None:
    """The numbers of a DXO of metrics, and nothing beside them; None for any other content."""
    try:
        dxo = from_shareable(shareable)
    except (TypeError, ValueError, KeyError):
        return None
    numbers = all(
        isinstance(name, str) and isinstance(value, int | float | np.number | np.bool_)
        for name, value in dxo.data.items()
    )
    alone = DXO(DataKind.METRICS, data=dict(dxo.data))
    return alone.to_shareable() if numbers and dxo.data_kind == DataKind.METRICS else None
