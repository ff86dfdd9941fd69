"""Secure runs, and plain ones to hold them against."""

import numpy as np
from federation import MODEL, arrays_of, model_record
from flwr.serverapp import strategy as flower

from secagg.adapters.flower import SecureAggregation

WEIGHT_MAX = 400


def fedavg(**how):
    return flower.FedAvg(fraction_evaluate=0.0, **how)


def secure(inner=None, **how):
    return SecureAggregation(inner or fedavg(), **{"weight_max": WEIGHT_MAX, **how})


def close(found, wanted, bound, roundings=1):
    """Within the stated bound, and half an ulp of the array's dtype for each rounding of the model itself."""
    for name, array in found.items():
        ulp = 0.0 if array.dtype.kind != "f" else float(np.spacing(np.abs(array).max().astype(array.dtype)))
        assert np.abs(array.astype(np.float64) - wanted[name]).max() <= bound[name] + 4 * roundings * ulp, name


def steps_in(strategy, grid, rounds=5):
    """{round: {name: what it added}} of a training run."""
    models = {}
    strategy.start(grid, model_record(), rounds, evaluate_fn=lambda n, arrays: models.update({n: arrays_of(arrays)}))
    return {
        n: {name: models[n][name].astype(np.float64) - models[n - 1][name] for name in MODEL}
        for n in range(1, rounds + 1)
    }
