"""The model in Flower's records; what is summed of it stands in `secagg.federation.update`."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from numpy.typing import NDArray

from secagg.errors import BadDtype, ConfigError, InputError, SecaggError
from secagg.federation.update import Arrays, leaf_dtype, summable


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
            arrays[name] = summable(array.numpy(), f"{whose}: array {name!r}")
        except (TypeError, ValueError, EOFError, OSError):
            raise BadDtype(f"{whose}: array {name!r} is no NumPy array of numbers (stype {array.stype!r})") from None
    return arrays


def applied(model: Arrays, mean: Mapping[str, NDArray[Any]]) -> ArrayRecord:
    """The model moved by the mean update. Floats keep their dtype; integer arrays become float64, as in FedAvg."""
    moved = {}
    for name, array in model.items():
        wide = np.add(array, mean[name], dtype=np.result_type(array, mean[name], np.float64))
        moved[name] = Array(np.asarray(wide.astype(leaf_dtype(array))))
    return ArrayRecord(moved)


def metrics_of(content: RecordDict) -> MetricRecord:
    """The one MetricRecord of a reply. Raises InputError for none or several."""
    records = list(content.metric_records.values())
    if len(records) != 1:
        raise InputError(f"reply with {len(records)} MetricRecords, expected exactly one")
    return records[0]
