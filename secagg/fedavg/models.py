"""Models of a binary outcome in NumPy: what the loop asks of a model, logistic regression, a small MLP.

Both minimise mean log loss + l2/2 * |weights|^2 (biases go free) by plain mini-batch SGD, so that averaging
their parameters is all the server has to do.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from secagg.errors import NotFinite
from secagg.fedavg.history import Metrics
from secagg.fedavg.settings import SGD, Settings

Array = NDArray[np.float64]
Params = dict[str, Array]
"""A model's parameters; the same keys and shapes at every party, so an update is their difference."""


DIVERGED = "training diverged; lower learning_rate"
"""What a caller can do about parameters that are no numbers any more."""


class Model(Protocol):
    """What the loop needs. No method changes its arguments."""

    def init(self, n_features: int, rng: np.random.Generator) -> Params:
        """Parameters to start from, equal at all parties."""

    def fit(self, params: Params, x: Array, y: Array, sgd: SGD, rng: np.random.Generator) -> Params:
        """Parameters after `sgd.epochs` passes over x (n, d), y (n,) of 0 and 1, in batches shuffled by `rng`."""

    def evaluate(self, params: Params, x: Array, y: Array) -> Metrics:
        """How well the predictions for x (n, d) fit y (n,), n >= 1."""


def score(probability: Array, y: Array) -> Metrics:
    """Judge probabilities (n,) of the positive outcome against y (n,) of 0 and 1, n >= 1.

    A probability of exactly 0 or 1 counts as within one ulp of it in the log loss, which stays finite.

    Raises:
        NotFinite: some probability is NaN, so the model behind it diverged.
    """
    if not np.isfinite(probability).all():
        raise NotFinite(f"{DIVERGED} (patient {int(np.argmin(np.isfinite(probability)))} gets no probability)")
    eps = np.finfo(np.float64).eps
    likelihood = np.clip(np.where(y == 1, probability, 1 - probability), eps, 1.0)
    both = 0 < y.sum() < len(y)
    return Metrics(
        accuracy=float(np.mean((probability >= 0.5) == (y == 1))),
        auc=float(roc_auc_score(y, probability)) if both else None,
        log_loss=float(-np.mean(np.log(likelihood))),
        patients=len(y),
    )


def require_finite(params: Params) -> None:
    """Refuse parameters that training has driven beyond all numbers.

    Raises:
        NotFinite: names the first such entry.
    """
    for name, value in params.items():
        finite = np.isfinite(value)
        if not finite.all():
            index = [int(axis[0]) for axis in np.nonzero(~finite)]
            raise NotFinite(f"{DIVERGED} ({name}{index} is not finite)")


def batches(patients: int, batch_size: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Row numbers of one epoch's batches: every patient once, shuffled; the last batch may be smaller."""
    order = rng.permutation(patients)
    for start in range(0, patients, batch_size):
        yield order[start : start + batch_size]


class _Gradient(ABC):
    """Fits by a gradient that a subclass gives."""

    @abstractmethod
    def logits(self, params: Params, x: Array) -> Array:
        """(n,) log odds."""

    @abstractmethod
    def gradient(self, params: Params, x: Array, y: Array) -> Params:
        """Of the objective, in the structure of the parameters."""

    def fit(self, params: Params, x: Array, y: Array, sgd: SGD, rng: np.random.Generator) -> Params:
        """See `Model.fit`.

        Raises:
            NotFinite: the steps are so long that the parameters overflow.
        """
        fitted = {name: value.copy() for name, value in params.items()}
        for _ in range(sgd.epochs):
            with np.errstate(over="ignore", invalid="ignore"):  # told below, with what to do about it
                for rows in batches(len(y), sgd.batch_size, rng):
                    for name, slope in self.gradient(fitted, x[rows], y[rows]).items():
                        fitted[name] -= sgd.learning_rate * slope
            require_finite(fitted)
        return fitted

    def predict_proba(self, params: Params, x: Array) -> Array:
        """(n,) probabilities of the positive outcome; NaN where the parameters are too large to say."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(expit(self.logits(params, x)))

    def evaluate(self, params: Params, x: Array, y: Array) -> Metrics:
        """Accuracy, AUC and log loss on x (n, d), y (n,).

        Raises:
            NotFinite: the parameters overflow on these inputs.
        """
        return score(self.predict_proba(params, x), y)


@dataclass(frozen=True)
class LogisticRegression(_Gradient):
    """p = expit(x w + b); parameters "weights" (d,) and "bias" (1,), both zero at the start.

    Attributes:
        l2: penalty of the weights, >= 0.
    """

    l2: float = 0.0

    def init(self, n_features: int, rng: np.random.Generator) -> Params:  # noqa: ARG002 - nothing to draw
        """Zeros."""
        return {"weights": np.zeros(n_features), "bias": np.zeros(1)}

    def logits(self, params: Params, x: Array) -> Array:
        """(n,) log odds."""
        return np.asarray(x @ params["weights"] + params["bias"])

    def gradient(self, params: Params, x: Array, y: Array) -> Params:
        """Of mean log loss + l2/2 * |weights|^2, in the structure of the parameters."""
        residual = (expit(self.logits(params, x)) - y) / len(y)
        return {
            "weights": x.T @ residual + self.l2 * params["weights"],
            "bias": np.array([residual.sum()]),
        }


@dataclass(frozen=True)
class Perceptron(_Gradient):
    """One hidden layer: p = expit(f(x W + c) w + b).

    Parameters: "hidden_weights" (d, h), "hidden_bias" (h,), "weights" (h,), "bias" (1,).

    Attributes:
        hidden: its width h, >= 1.
        activation: f, "relu" or "tanh".
        l2: penalty of both layers' weights, >= 0.
    """

    hidden: int = 16
    activation: Literal["relu", "tanh"] = "relu"
    l2: float = 0.0

    def init(self, n_features: int, rng: np.random.Generator) -> Params:
        """Normal weights of variance 2/d into ReLU (He et al. 2015), 1/d into tanh; 1/h out; zero biases."""
        gain = 2.0 if self.activation == "relu" else 1.0
        return {
            "hidden_weights": rng.normal(0.0, np.sqrt(gain / n_features), (n_features, self.hidden)),
            "hidden_bias": np.zeros(self.hidden),
            "weights": rng.normal(0.0, np.sqrt(1 / self.hidden), self.hidden),
            "bias": np.zeros(1),
        }

    def logits(self, params: Params, x: Array) -> Array:
        """(n,) log odds."""
        return np.asarray(self._activate(self._inner(params, x)) @ params["weights"] + params["bias"])

    def gradient(self, params: Params, x: Array, y: Array) -> Params:
        """Of mean log loss + l2/2 * |weights|^2 by backpropagation, in the structure of the parameters."""
        inner = self._inner(params, x)
        active = self._activate(inner)
        residual = (expit(active @ params["weights"] + params["bias"]) - y) / len(y)
        back = np.outer(residual, params["weights"]) * self._slope(inner, active)
        return {
            "hidden_weights": x.T @ back + self.l2 * params["hidden_weights"],
            "hidden_bias": back.sum(axis=0),
            "weights": active.T @ residual + self.l2 * params["weights"],
            "bias": np.array([residual.sum()]),
        }

    def _inner(self, params: Params, x: Array) -> Array:
        return np.asarray(x @ params["hidden_weights"] + params["hidden_bias"])

    def _activate(self, inner: Array) -> Array:
        return np.maximum(inner, 0.0) if self.activation == "relu" else np.tanh(inner)

    def _slope(self, inner: Array, active: Array) -> Array:
        return (inner > 0).astype(np.float64) if self.activation == "relu" else 1 - active**2


def model_of(settings: Settings) -> Model:
    """The model that the settings name."""
    if settings.model == "mlp":
        assert settings.hidden is not None  # resolved by the settings
        return Perceptron(hidden=settings.hidden, l2=settings.l2)
    return LogisticRegression(l2=settings.l2)
