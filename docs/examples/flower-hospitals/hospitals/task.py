"""The model (logistic regression) and the data (Wisconsin breast-cancer set, one part a hospital)."""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split

FEATURES = 30


def load_data(partition: int, partitions: int):
    """This hospital's patients, split into (train features, test features, train labels, test labels).

    The example standardizes with the mean and variance of the whole set, which a real federation does not have.
    """
    features, labels = load_breast_cancer(return_X_y=True)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    mine = np.random.default_rng(0).permutation(len(labels))[partition::partitions]
    return train_test_split(features[mine], labels[mine], test_size=0.25, random_state=0)


def create_model(learning_rate: float) -> SGDClassifier:
    """A logistic regression, all zeros."""
    model = SGDClassifier(loss="log_loss", alpha=1e-3, learning_rate="constant", eta0=learning_rate, random_state=0)
    model.classes_ = np.array([0, 1])
    set_weights(model, [np.zeros((1, FEATURES)), np.zeros(1)])
    return model


def get_weights(model: SGDClassifier) -> list[np.ndarray]:
    """Coefficients and intercept."""
    return [model.coef_, model.intercept_]


def set_weights(model: SGDClassifier, weights: list[np.ndarray]) -> None:
    """Put coefficients and intercept into the model."""
    model.coef_, model.intercept_ = weights[0].copy(), weights[1].copy()


def train(model: SGDClassifier, features: np.ndarray, labels: np.ndarray, steps: int) -> float:
    """Full passes over the patients; returns the loss after them."""
    for _ in range(steps):
        model.partial_fit(features, labels)
    return float(log_loss(labels, model.predict_proba(features), labels=[0, 1]))


def score(model: SGDClassifier, features: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy and area under the ROC curve."""
    return {
        "accuracy": float(model.score(features, labels)),
        "auc": float(roc_auc_score(labels, model.decision_function(features))),
    }
