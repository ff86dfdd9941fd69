import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from secagg.errors import NotFinite
from secagg.fedavg.models import LogisticRegression, Perceptron, batches, model_of, score
from secagg.fedavg.settings import SGD, Settings

MODELS = [
    LogisticRegression(),
    LogisticRegression(l2=0.3),
    Perceptron(hidden=5, activation="tanh", l2=0.1),
    Perceptron(hidden=5, activation="relu"),
]


@pytest.fixture
def patients():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(40, 6))
    y = (x @ rng.normal(size=6) + rng.normal(size=40) > 0).astype(np.float64)
    return x, y


def some_params(model):
    rng = np.random.default_rng(1)
    return {name: value + rng.normal(size=value.shape) for name, value in model.init(6, rng).items()}


def objective(model, params, x, y):
    """What is minimised, written down once more: mean of log(1 + exp(z)) - y z, plus the penalty."""
    logits = model.logits(params, x)
    penalty = sum(np.sum(value**2) for name, value in params.items() if name.endswith("weights"))
    return float(np.mean(np.logaddexp(0.0, logits) - y * logits) + model.l2 / 2 * penalty)


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_gradients_agree_with_finite_differences(model, patients):
    x, y = patients
    params = some_params(model)
    h = 1e-6
    for name, slope in model.gradient(params, x, y).items():
        assert slope.shape == params[name].shape
        for index in np.ndindex(slope.shape):
            up = {key: value.copy() for key, value in params.items()}
            down = {key: value.copy() for key, value in params.items()}
            up[name][index] += h
            down[name][index] -= h
            expected = (objective(model, up, x, y) - objective(model, down, x, y)) / (2 * h)
            assert slope[index] == pytest.approx(expected, rel=1e-6, abs=1e-8), (name, index)


def test_logistic_regression_finds_scikit_learn_s_optimum(patients):
    x, y = patients
    model = LogisticRegression(l2=0.1)
    params = model.fit(
        model.init(6, np.random.default_rng(0)),
        x,
        y,
        SGD(epochs=1000, batch_size=len(y), learning_rate=1.0),
        np.random.default_rng(0),
    )
    reference = Reference(C=1 / (0.1 * len(y)), tol=1e-12, max_iter=10_000).fit(x, y)
    assert_allclose(params["weights"], reference.coef_[0], rtol=1e-5)
    assert_allclose(params["bias"], reference.intercept_, rtol=1e-5)
    assert_allclose(model.predict_proba(params, x), reference.predict_proba(x)[:, 1], rtol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_hidden_layer_learns_what_no_line_separates(activation):
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 5, dtype=np.float64) - 0.5
    y = np.array([0, 1, 1, 0] * 5, dtype=np.float64)
    rng = np.random.default_rng(2)
    model = Perceptron(hidden=8, activation=activation)
    params = model.fit(model.init(2, rng), x, y, SGD(epochs=400, batch_size=4, learning_rate=0.5), rng)
    assert model.evaluate(params, x, y).accuracy == 1.0


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_fit_changes_no_argument_and_repeats_with_the_same_seed(model, patients):
    x, y = patients
    params = some_params(model)
    before = [value.copy() for value in (*params.values(), x, y)]
    sgd = SGD(epochs=2, batch_size=7, learning_rate=0.1)
    once = model.fit(params, x, y, sgd, np.random.default_rng(4))
    again = model.fit(params, x, y, sgd, np.random.default_rng(4))
    for value, kept in zip((*params.values(), x, y), before, strict=True):
        assert_array_equal(value, kept)
    for name, value in once.items():
        assert_array_equal(value, again[name])
        assert (value != params[name]).any()


@given(st.integers(1, 50), st.integers(1, 60), st.integers(0, 2**32))
def test_an_epoch_sees_every_patient_once(patients, batch_size, seed):
    parts = list(batches(patients, batch_size, np.random.default_rng(seed)))
    assert sorted(np.concatenate(parts).tolist()) == list(range(patients))
    assert all(len(part) == batch_size for part in parts[:-1])


def test_metrics_are_scikit_learn_s(patients):
    _, y = patients
    p = np.random.default_rng(9).random(len(y))
    metrics = score(p, y)
    assert metrics.accuracy == accuracy_score(y, p >= 0.5)
    assert metrics.auc == roc_auc_score(y, p)
    assert metrics.log_loss == pytest.approx(log_loss(y, p), rel=1e-12)
    assert metrics.patients == len(y)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_has_no_auc(label):
    assert score(np.array([0.2, 0.9]), np.full(2, label)).auc is None


def test_a_sure_and_wrong_prediction_costs_a_finite_log_loss():
    assert np.isfinite(score(np.array([0.0, 1.0]), np.array([1.0, 0.0])).log_loss)


def test_large_log_odds_do_not_overflow():
    model = LogisticRegression()
    params = {"weights": np.array([1e4]), "bias": np.zeros(1)}
    x, y = np.array([[1.0], [-1.0]]), np.array([0.0, 0.0])
    assert model.gradient(params, x, y)["weights"].tolist() == [0.5]
    assert np.isfinite(model.evaluate(params, x, y).log_loss)


@pytest.mark.parametrize(
    ("model", "learning_rate", "named"),
    [
        (LogisticRegression(l2=1e-3), 1e6, r"weights\[0\]"),
        (LogisticRegression(l2=1e9), 0.2, r"weights\[0\]"),
        (Perceptron(hidden=3, l2=1e-3), 1e6, r"hidden_weights\[0, 0\]"),
        (Perceptron(hidden=3, activation="tanh", l2=1e9), 0.2, r"hidden_weights\[0, 0\]"),
    ],
    ids=repr,
)
def test_steps_that_are_too_long_are_told_without_a_warning(patients, model, learning_rate, named):
    rng = np.random.default_rng(0)
    sgd = SGD(epochs=200, batch_size=8, learning_rate=learning_rate)
    with pytest.raises(NotFinite, match=f"^training diverged; lower learning_rate .{named} is not finite"):
        model.fit(model.init(6, rng), *patients, sgd, rng)


def test_parameters_too_large_to_judge_are_told_without_a_warning():
    params = {"weights": np.array([np.inf, np.inf]), "bias": np.zeros(1)}
    x = np.array([[1.0, 1.0], [1.0, -1.0]])
    with pytest.raises(NotFinite, match=r"^training diverged; lower learning_rate .patient 1 gets no probability"):
        LogisticRegression().evaluate(params, x, np.array([0.0, 1.0]))


def test_settings_choose_the_model():
    assert model_of(Settings(l2=0.5)) == LogisticRegression(l2=0.5)
    assert model_of(Settings(model="mlp", hidden=3, l2=0.5)) == Perceptron(hidden=3, l2=0.5)
