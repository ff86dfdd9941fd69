"""Strategies of a weighted mean do as on plain replies; those that need single updates are refused, with the reason."""

import numpy as np
import pytest
from beside_plain import close, fedavg, secure, steps_in
from federation import MODEL, arrays_of, grid_of, model_record
from flwr.clientapp.mod import fixedclipping_mod
from flwr.serverapp import strategy as flower

from secagg.adapters.flower import SecAggMod, SecureAggregation
from secagg.errors import ConfigError


@pytest.mark.parametrize("inner", [flower.FedAvgM, flower.FedProx], ids=lambda kind: kind.__name__)
def test_other_means(inner):
    how = {"server_momentum": 0.5} if inner is flower.FedAvgM else {"proximal_mu": 0.1}
    strategy = secure(inner(fraction_evaluate=0.0, **how))
    found = strategy.start(grid_of(4), model_record(), num_rounds=2)
    wanted = inner(fraction_evaluate=0.0, **how).start(grid_of(4, mods=()), model_record(), num_rounds=2)
    bound = {name: 3 * strategy.outcomes[1].error_bound[name] for name in MODEL}
    close(arrays_of(found.arrays), arrays_of(wanted.arrays), bound, roundings=4)


@pytest.mark.parametrize("inner", [flower.FedAdam, flower.FedYogi, flower.FedAdagrad], ids=lambda kind: kind.__name__)
def test_adaptive_optimizers_take_the_steps_that_they_take_on_the_plain_mean(inner):
    """To seven digits, where a plain mean would move the weights by other steps altogether."""
    strategy = secure(inner(fraction_evaluate=0.0), bits=32)
    found, wanted = steps_in(strategy, grid_of(4)), steps_in(inner(fraction_evaluate=0.0), grid_of(4, mods=()))
    for server_round, outcome in strategy.outcomes.items():
        for name, array in MODEL.items():
            error = outcome.error_bound[name] + 4 * np.finfo(array.dtype).eps
            difference = np.abs(found[server_round][name] - wanted[server_round][name]).max()
            assert difference <= error
            assert np.abs(wanted[server_round][name]).max() > 1e4 * difference


REFUSED = [
    flower.Krum(),
    flower.MultiKrum(),
    flower.Bulyan(),
    flower.FedMedian(),
    flower.FedTrimmedAvg(),
    flower.QFedAvg(0.1),
    flower.FedXgbBagging(),
    flower.FedXgbCyclic(),
    flower.DifferentialPrivacyServerSideFixedClipping(flower.FedAvg(), 1.0, 1.0, 4),
    flower.DifferentialPrivacyServerSideAdaptiveClipping(flower.FedAvg(), 0.1, 4),
    flower.DifferentialPrivacyClientSideAdaptiveClipping(flower.FedAvg(), 0.1, 4),
    flower.DifferentialPrivacyClientSideFixedClipping(flower.FedAvg(), 1.0, 1.0, 4),
    type("Mine", (flower.Krum,), {})(),
]


@pytest.mark.parametrize("inner", REFUSED, ids=lambda inner: type(inner).__name__)
def test_strategies_that_need_single_updates_are_refused(inner):
    said = (
        rf"^{type(inner).__name__} cannot run on secure aggregation, where the server learns the sum alone: it [^.]*\. "
        "Expected a strategy that aggregates by a weighted mean, such as FedAvg, FedAvgM or FedAdam$"
    )
    with pytest.raises(ConfigError, match=said):
        secure(inner)


@pytest.mark.parametrize("inner", [None, "FedAvg", flower.FedAvg])
def test_what_is_no_strategy(inner):
    with pytest.raises(ConfigError, match=r"expected a flwr\.serverapp\.strategy\.Strategy"):
        SecureAggregation(inner, weight_max=1)


def holding(strategy, how):
    """A mean that keeps another strategy somewhere in its attributes, and itself too."""
    outer, between = fedavg(), fedavg()
    outer.me = outer
    outer.between, between.outer = between, outer
    held = {"inner": strategy, "list": [1, strategy], "dict": {"a": strategy}, "deep": None}
    setattr(outer if how != "deep" else between, how, held[how] or strategy)
    return outer


@pytest.mark.parametrize("how", ["inner", "list", "dict", "deep"])
def test_a_strategy_inside_another_is_found_wherever_it_is_kept(how):
    with pytest.raises(ConfigError, match="Krum cannot run on secure aggregation"):
        secure(holding(flower.Krum(), how))
    with pytest.raises(ConfigError, match="expected one"):
        secure(holding(secure(), how))
    assert isinstance(secure(holding(flower.FedAdam(), how)), SecureAggregation)


def test_not_twice():
    with pytest.raises(ConfigError, match="expected one"):
        secure(secure())


def test_differential_privacy_with_clipping_at_the_clients_goes_around_it():
    strategy = secure(clip=1.0)
    around = flower.DifferentialPrivacyClientSideFixedClipping(strategy, 0.0, 0.25, 4)
    result = around.start(grid_of(4, mods=(SecAggMod(), fixedclipping_mod)), model_record(), num_rounds=1)
    moved = np.concatenate([(arrays_of(result.arrays)[n].astype(float) - MODEL[n]).ravel() for n in MODEL])
    assert strategy.outcomes[1].failure is None
    assert 0 < np.linalg.norm(moved) <= 0.25 + 0.01
