"""Hospitals train together: FedAvg over a secure sum, its data and its comparison. Needs `secagg[fedavg]`."""

from secagg.fedavg.experiment import run_experiment
from secagg.fedavg.history import Metrics, RoundRecord, Run, StatisticsRecord
from secagg.fedavg.loop import Trained, cohort_size, train
from secagg.fedavg.models import LogisticRegression, Model, Perceptron
from secagg.fedavg.preparation import Patients
from secagg.fedavg.settings import Settings, Training

__all__ = [
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
