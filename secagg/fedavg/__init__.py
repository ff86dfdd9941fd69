"""Hospitals train together: FedAvg over a secure sum, its data and its comparison. Needs `secagg[fedavg]`."""

from typing import TYPE_CHECKING

from secagg import lazy

if TYPE_CHECKING:
    from secagg.fedavg.experiment import run_experiment
    from secagg.fedavg.history import Metrics, RoundRecord, Run, StatisticsRecord
    from secagg.fedavg.loop import Trained, cohort_size, train
    from secagg.fedavg.models import LogisticRegression, Model, Perceptron
    from secagg.fedavg.preparation import Cohort, Patients
    from secagg.fedavg.settings import SGD, Settings, Training

__all__ = [
    "SGD",
    "Cohort",
    "LogisticRegression",
    "Metrics",
    "Model",
    "Patients",
    "Perceptron",
    "RoundRecord",
    "Run",
    "Settings",
    "StatisticsRecord",
    "Trained",
    "Training",
    "cohort_size",
    "run_experiment",
    "train",
]

_HOMES = {
    "experiment": ("run_experiment",),
    "history": ("Metrics", "RoundRecord", "Run", "StatisticsRecord"),
    "loop": ("Trained", "cohort_size", "train"),
    "models": ("LogisticRegression", "Model", "Perceptron"),
    "preparation": ("Cohort", "Patients"),
    "settings": ("SGD", "Settings", "Training"),
}
"""{module: its names here}; so that who asks for the settings alone loads no pandas and no scikit-learn."""

__getattr__ = lazy.names(__name__, {name: module for module, names in _HOMES.items() for name in names})
