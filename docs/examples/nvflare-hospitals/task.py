"""The model (logistic regression) and the data (Wisconsin breast-cancer set, one part a hospital)."""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

FEATURES = 30


def load_data(hospital: int, hospitals: int):
    """This hospital's patients, split into (train features, test features, train labels, test labels).

    The example standardizes with the mean and variance of the whole set, which a real federation does not have.
    """
    features, labels = load_breast_cancer(return_X_y=True)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    mine = np.random.default_rng(0).permutation(len(labels))[hospital::hospitals]
    return train_test_split(features[mine], labels[mine], test_size=0.25, random_state=0)


def initial_weights() -> np.ndarray:
    """Coefficients and intercept, all zeros."""
    return np.zeros(FEATURES + 1)


def model_of(weights: np.ndarray, learning_rate: float) -> SGDClassifier:
    """A logistic regression with these weights."""
    model = SGDClassifier(loss="log_loss", alpha=1e-3, learning_rate="constant", eta0=learning_rate, random_state=0)
    model.classes_ = np.array([0, 1])
    weights = weights.astype(np.float64)  # a copy; NVFLARE keeps the model as float32
    model.coef_, model.intercept_ = weights[None, :FEATURES], weights[FEATURES:]
    return model


def weights_of(model: SGDClassifier) -> np.ndarray:
    """The inverse of `model_of`."""
    return np.concatenate([model.coef_[0], model.intercept_])


def auc(model: SGDClassifier, features: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve."""
    return float(roc_auc_score(labels, model.decision_function(features)))
