"""Four models on the same held-out patients: each hospital alone, centralized, plain and secure FedAvg."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from secagg.fedavg.history import ALONE, CENTRALIZED, PLAIN, SECURE, Alone, ComparisonRow, Metrics
from secagg.fedavg.loop import Trained, diverging_at
from secagg.fedavg.models import Model, Params, require_finite
from secagg.fedavg.preparation import Patients, Site, Standardisation, pooled
from secagg.fedavg.seeds import Purpose, stream
from secagg.fedavg.settings import Training


@dataclass(frozen=True)
class _Ready:
    """Parameters with the standardisation that their inputs need."""

    model: Model
    params: Params
    standardisation: Standardisation
    name: str
    hospital: str | None = None

    def judge(self, patients: Patients) -> Metrics:
        with diverging_at(self.name, self.hospital):
            return self.model.evaluate(self.params, self.standardisation.apply(patients.x), patients.y)


def compare(
    model: Model, sites: Sequence[Site], trained: Trained, federated: Standardisation, options: Training
) -> tuple[ComparisonRow, ...]:
    """Judge the four models.

    Args:
        model: of all four.
        sites: the hospitals' patients, not standardised.
        trained: the federated models, secure and plain.
        federated: the standardisation that both were trained with.
        options: local training; the models alone and centralized get rounds * epochs epochs of it.

    Returns:
        One row each for alone, centralized, plain and secure, in this order.

    Raises:
        NotFinite: training diverged; names the model, and the hospital of one trained alone.
    """
    everybody = gather([site.test for site in sites])
    learnt = gather([site.train for site in sites])
    central = _fit(model, learnt, options, len(sites), CENTRALIZED)
    plain = _Ready(model, trained.plain, federated, PLAIN)
    secure = _Ready(model, trained.secure, federated, SECURE)
    return (
        _alone(model, sites, everybody, options),
        _one_model(central, sites, everybody),
        _one_model(plain, sites, everybody),
        _one_model(secure, sites, everybody),
    )


def gather(parts: Sequence[Patients]) -> Patients:
    """All patients one after the other."""
    return Patients(np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))


def _fit(
    model: Model, patients: Patients, options: Training, index: int, name: str, hospital: str | None = None
) -> _Ready:
    """Train on patients in one place, standardised by their own statistics."""
    standardisation = pooled(patients.x)
    with diverging_at(name, hospital):
        params = model.fit(
            model.init(patients.x.shape[1], stream(options.seed, Purpose.INIT)),
            standardisation.apply(patients.x),
            patients.y,
            replace(options.sgd, epochs=options.rounds * options.epochs),
            stream(options.seed, Purpose.REFERENCE, index),
        )
        require_finite(params)
    return _Ready(model, params, standardisation, name, hospital)


def _one_model(ready: _Ready, sites: Sequence[Site], everybody: Patients) -> ComparisonRow:
    return ComparisonRow(ready.name, ready.judge(everybody), {site.name: ready.judge(site.test) for site in sites})


def _alone(model: Model, sites: Sequence[Site], everybody: Patients, options: Training) -> ComparisonRow:
    models = {site.name: _fit(model, site.train, options, index, ALONE, site.name) for index, site in enumerate(sites)}
    overall = {name: ready.judge(everybody) for name, ready in models.items()}
    ranked = sorted(overall, key=lambda name: (-overall[name].accuracy, overall[name].log_loss))
    return ComparisonRow(
        ALONE,
        _average(overall),
        {site.name: models[site.name].judge(site.test) for site in sites},
        Alone(overall, best=ranked[0], worst=ranked[-1]),
    )


def _average(metrics: Mapping[str, Metrics]) -> Metrics:
    """Mean over models judged on the same patients."""
    areas = [each.auc for each in metrics.values() if each.auc is not None]
    return Metrics(
        accuracy=float(np.mean([each.accuracy for each in metrics.values()])),
        auc=float(np.mean(areas)) if areas else None,
        log_loss=float(np.mean([each.log_loss for each in metrics.values()])),
        patients=next(iter(metrics.values())).patients,
    )
