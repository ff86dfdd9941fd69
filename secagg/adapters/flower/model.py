"""The model and what is summed of it: updates (new minus received arrays), named metrics, weights."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from numpy.typing import NDArray

from secagg.encoding.layout import Update
from secagg.errors import BadDtype, BadWeight, ConfigError, InputError, OutOfRange, SecaggError, ShapeMismatch

Arrays: TypeAlias = dict[str, NDArray[Any]]
Clip: TypeAlias = float | Mapping[str, Any]
"""Bound of the updates' entries: one number, or {array name: number or array} with a default under "*"."""

DEFAULT = "*"


def only_arrays(
    content: RecordDict, whose: str, error: Callable[[str], SecaggError] = ConfigError
) -> tuple[str, ArrayRecord]:
    """(name, record) of the one ArrayRecord in `content`. Raises `error` for none or several."""
    records = dict(content.array_records.items())
    if len(records) != 1:
        raise error(f"{whose}: {len(records)} ArrayRecords {sorted(records)}, expected exactly one")
    return next(iter(records.items()))


def numpy_arrays(record: ArrayRecord, whose: str) -> Arrays:
    """{name: array} of floats, integers and bools. Raises BadDtype naming an array that cannot be summed."""
    arrays = {}
    for name, array in record.items():
        try:
            arrays[name] = array.numpy()
        except (TypeError, ValueError, EOFError, OSError):
            raise BadDtype(f"{whose}: array {name!r} is no NumPy array of numbers (stype {array.stype!r})") from None
        if arrays[name].dtype.kind not in "fiub":
            raise BadDtype(f"{whose}: array {name!r} is {arrays[name].dtype}, expected floats or integers")
    return arrays


def context_of(run_id: int, message_type: str, content: RecordDict) -> bytes:
    """SHA-256 of all that a client trains by: run, message type, and every record (model, round, configuration)."""
    digest = hashlib.sha256(b"secagg/flower/1")
    _feed(digest, run_id, message_type)
    for name in sorted(content):
        record = content[name]
        _feed(digest, name, type(record).__name__, len(record))
        for key in sorted(record):
            value = record[key]
            if isinstance(value, Array):
                _feed(digest, key, value.dtype, tuple(value.shape), value.stype, len(value.data))
                digest.update(value.data)
            else:
                _feed(digest, key, value)
    return digest.digest()


def _feed(digest: Any, *parts: object) -> None:
    """Numbers, texts and tuples of them, unambiguously: `repr` reads back as the same value."""
    text = repr(parts).encode()
    digest.update(len(text).to_bytes(8, "little") + text)


def blank_update(model: Arrays, metrics: Collection[str]) -> Update:
    """An update of the right structure: {"arrays": {name: array}, "metrics": {name: float}}.

    Floats keep their dtype; integers and bools (counters, say) travel as float64, since an update may be negative.
    """
    arrays = {name: np.zeros(array.shape, _leaf_dtype(array)) for name, array in model.items()}
    return {"arrays": arrays, "metrics": dict.fromkeys(metrics, 0.0)}


def clip_of(model: Arrays, clip: Clip, counters: Collection[str], bits: int, metrics: Mapping[str, float]) -> Update:
    """The clip of every leaf of `blank_update(model, metrics)`.

    Args:
        clip: a number for all float arrays, or {name: clip, "*": clip of the rest}.
        counters: arrays of integers; theirs is 2**(bits - 1) - 1, so that the quantizer's step is one, unless named.

    Raises OutOfRange for a name that is no array of the model, or an array without a clip.
    """
    named: Mapping[str, Any] = clip if isinstance(clip, Mapping) else {DEFAULT: clip}
    unknown = sorted(set(named) - set(model) - {DEFAULT})
    if unknown:
        raise OutOfRange(f"clip: no array named {unknown[0]!r}, expected names among {sorted(model)} and {DEFAULT!r}")
    missing = sorted(set(model) - set(named) - set(counters))
    if missing and DEFAULT not in named:
        raise OutOfRange(f"clip: none for array {missing[0]!r}, expected one, or a default under {DEFAULT!r}")
    step_one = 2.0 ** (bits - 1) - 1
    arrays = {name: named.get(name, step_one if name in counters else named.get(DEFAULT)) for name in model}
    return {"arrays": arrays, "metrics": dict(metrics)}


def counters_of(model: Arrays) -> frozenset[str]:
    """Names of the arrays whose entries are integers or bools."""
    return frozenset(name for name, array in model.items() if array.dtype.kind != "f")


def update_of(received: Arrays, trained: Arrays, metrics: Mapping[str, float]) -> Update:
    """Trained minus received arrays, in the structure of `blank_update`. Raises ShapeMismatch naming the array."""
    if set(received) != set(trained):
        odd = min(set(received) ^ set(trained))
        raise ShapeMismatch(f"reply's arrays differ from the model's in {odd!r}, expected names {sorted(received)}")
    return {
        "arrays": {name: _difference(name, trained[name], array) for name, array in received.items()},
        "metrics": dict(metrics),
    }


def _difference(name: str, new: NDArray[Any], old: NDArray[Any]) -> NDArray[Any]:
    if new.shape != old.shape:
        raise ShapeMismatch(f"array {name!r} has shape {new.shape}, expected {old.shape}")
    with np.errstate(all="ignore"):  # NaN and infinity are refused, with their position, when the update is encoded
        difference = np.subtract(new, old, dtype=np.result_type(new, old, np.float64))
        return np.asarray(difference, _leaf_dtype(old))


def _leaf_dtype(array: NDArray[Any]) -> np.dtype[Any]:
    return array.dtype if array.dtype.kind == "f" else np.dtype(np.float64)


def applied(model: Arrays, mean: Mapping[str, NDArray[Any]]) -> ArrayRecord:
    """The model moved by the mean update. Floats keep their dtype; integer arrays become float64, as in FedAvg."""
    moved = {}
    for name, array in model.items():
        wide = np.add(array, mean[name], dtype=np.result_type(array, mean[name], np.float64))
        moved[name] = Array(np.asarray(wide.astype(_leaf_dtype(array))))
    return ArrayRecord(moved)


def metrics_of(content: RecordDict) -> MetricRecord:
    """The one MetricRecord of a reply. Raises InputError for none or several."""
    records = list(content.metric_records.values())
    if len(records) != 1:
        raise InputError(f"reply with {len(records)} MetricRecords, expected exactly one")
    return records[0]


def weight_of(metrics: MetricRecord, key: str) -> int:
    """The reply's weight. Raises BadWeight where it is missing or no whole number."""
    if key not in metrics:
        raise BadWeight(f"reply without metric {key!r}, expected the weight of this client's update")
    value = metrics[key]
    if isinstance(value, list) or not float(value).is_integer():
        raise BadWeight(f"metric {key!r} is no whole number, expected an integer weight")
    return int(value)


def chosen(metrics: MetricRecord, names: Collection[str]) -> dict[str, float]:
    """The metrics that join the sum. Raises InputError for one that is missing or a list."""
    values = {}
    for name in names:
        value = metrics.get(name)
        if value is None or isinstance(value, list):
            raise InputError(f"reply's metric {name!r} is {'a list' if value else 'missing'}, expected a number")
        values[name] = float(value)
    return values
