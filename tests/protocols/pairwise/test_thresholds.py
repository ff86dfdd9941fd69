"""Parameters that would open a secret too easily, or never, are refused before the first message."""

import math
from collections.abc import Iterable
from itertools import combinations

import pytest

from secagg import aggregate
from secagg.errors import BadCohort, ConfigError, OutOfRange, TooFew
from secagg.scheme import Scheme, Session
from secagg.testing import SeededEntropy
from secagg_protocols import PROTOCOLS, PairwiseMasking, options_of
from secagg_protocols.pairwise.demand import clients, usual_loss
from secagg_protocols.pairwise.plan import Adversary, corrupt_neighbours, majority_plan


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"neighbours": 3}, "neighbours is 3"),
        ({"neighbours": 0}, "neighbours is 0"),
        ({"neighbours": -2}, "neighbours is -2"),
        ({"neighbours": 4.0}, "neighbours is 4.0"),
        ({"neighbours": True}, "neighbours is True"),
        ({"threshold": 1}, "threshold is 1"),
        ({"threshold": 2.5}, "threshold is 2.5"),
        ({"neighbours": 6, "threshold": 0}, "threshold is 0: expected an integer in 1..6"),
        ({"neighbours": 6, "threshold": 7}, "threshold is 7: expected an integer in 1..6"),
    ],
)
def test_refused_at_construction(options: dict[str, object], what: str) -> None:
    with pytest.raises(OutOfRange, match=what):
        PairwiseMasking(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"adversary": "lazy"}, "adversary is 'lazy'"),
        ({"adversary": "active", "corrupt": 1.0}, "corrupt is 1.0"),
        ({"adversary": "active", "corrupt": -0.1}, "corrupt is -0.1"),
        ({"adversary": "active", "corrupt": float("nan")}, "corrupt is nan"),
        ({"adversary": "active", "sigma": 0}, "sigma is 0"),
    ],
)
def test_active_options_out_of_range(options: dict[str, object], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        PairwiseMasking(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("n", "corrupt"), [(5, 0.05), (10, 0.3), (100, 0.05), (100, 0.33), (4, 0.0)])
def test_active_threshold_counts_the_corrupt_twice(n: int, corrupt: float) -> None:
    session = Session.create(range(n), 0.0)
    bad = math.ceil(corrupt * n)
    parameters = PairwiseMasking(adversary="active", corrupt=corrupt).parameters(session)
    assert 2 * parameters.threshold > n + bad
    least = (n + bad) // 2 + 1
    assert PairwiseMasking(threshold=least, adversary="active", corrupt=corrupt).parameters(session).threshold == least
    with pytest.raises(OutOfRange, match=f"expected {least}..{n}"):
        PairwiseMasking(threshold=least - 1, adversary="active", corrupt=corrupt).parameters(session)


@pytest.mark.parametrize("adversary", ["passive", "active"])
@pytest.mark.parametrize("n", [10, 100, 1000])
def test_what_plan_gives_the_scheme_takes(n: int, adversary: Adversary) -> None:
    """The paper's threshold, raised to more than half of the neighbours and of corrupt ones counted twice."""
    plan = PairwiseMasking.plan(n, corrupt=0.02, adversary=adversary)
    if plan.complete:
        scheme = PairwiseMasking(None, plan.threshold, adversary=adversary, corrupt=0.02)
    else:
        scheme = PairwiseMasking(plan.neighbours, plan.threshold, adversary=adversary, corrupt=0.02)
    parameters = scheme.parameters_for(n)
    holders = n if parameters.complete else plan.neighbours
    assert max(plan.threshold, holders // 2 + 1) <= parameters.threshold <= holders


@pytest.mark.parametrize(("n", "rate", "neighbours"), [(1000, 0.05, 80), (10_000, 0.1, 200)])
def test_active_plan_asks_for_64_bits_more(n: int, rate: float, neighbours: int) -> None:
    scheme = PROTOCOLS["secagg+"](n, corrupt=rate, dropout=rate, adversary="active")
    assert isinstance(scheme, PairwiseMasking)
    assert scheme.neighbours == neighbours
    parameters = scheme.parameters(Session.create(range(n), 0.0))
    assert 2 * parameters.threshold > neighbours + corrupt_neighbours(n, neighbours, rate, 40 + 64)


def test_active_needs_enough_neighbours() -> None:
    session = Session.create(range(1000), 0.0)
    with pytest.raises(OutOfRange, match="corrupt ones counted twice"):
        PairwiseMasking(neighbours=10, adversary="active", corrupt=0.3).parameters(session)


@pytest.mark.parametrize(("n", "threshold"), [(5, 2), (5, 6), (4, 2), (10, 5)])
def test_refused_for_the_session(n: int, threshold: int) -> None:
    session = Session.create(range(n), 0.0)
    scheme = PairwiseMasking(threshold=threshold)
    for use in (scheme.capacity, scheme.server, scheme.parameters):
        with pytest.raises(OutOfRange, match=f"threshold is {threshold}: expected {n // 2 + 1}..{n}"):
            use(session)
    with pytest.raises(OutOfRange):
        PROTOCOLS["secagg"](n, threshold=threshold)


@pytest.mark.parametrize(("n", "expected"), [(2, 2), (3, 3), (4, 3), (5, 4), (10, 7), (100, 67)])
def test_derived_threshold_of_the_complete_graph(n: int, expected: int) -> None:
    parameters = PairwiseMasking().parameters(Session.create(range(n), 0.0))
    assert (parameters.complete, parameters.degree, parameters.threshold) == (True, n - 1, expected)


@pytest.mark.parametrize(("n", "neighbours", "complete"), [(7, 4, False), (6, 4, False), (5, 4, True), (3, 4, True)])
def test_few_clients_make_the_graph_complete(n: int, neighbours: int, complete: bool) -> None:
    parameters = PairwiseMasking(neighbours=neighbours).parameters(Session.create(range(n), 0.0))
    assert parameters.complete == complete
    assert parameters.threshold > (n if complete else neighbours) // 2


def test_planned_scheme() -> None:
    plan = PairwiseMasking.plan(1000)
    scheme = PROTOCOLS["secagg+"](1000)
    assert isinstance(scheme, PairwiseMasking)
    assert (plan.neighbours, plan.threshold) == (34, 18)
    assert (scheme.neighbours, scheme.threshold) == (34, 18)


def test_planned_scheme_for_few_clients() -> None:
    assert PairwiseMasking.plan(3).complete
    three, ten = PROTOCOLS["secagg+"](3), PROTOCOLS["secagg+"](10)
    assert isinstance(three, PairwiseMasking)
    assert isinstance(ten, PairwiseMasking)
    assert three.neighbours is None
    assert (ten.neighbours, ten.threshold) == (8, 5)


def test_the_plan_of_a_small_cohort_covers_a_loss_that_it_will_see() -> None:
    """5 % of ten clients would be one; a fifth of them, two, are lost in any round, whoever they are."""
    assert [clients(n, usual_loss(n)) for n in (3, 4, 10, 20, 100, 399, 400, 1000)] == [1, 1, 3, 4, 10, 20, 20, 50]
    ten, planned_for_one = PROTOCOLS["secagg+"](10), PROTOCOLS["secagg+"](10, dropout=0.05)
    survived = [summed(ten, lost) for lost in combinations(range(10), 2)]
    assert survived == [True] * 45
    weak = [summed(planned_for_one, lost) for lost in combinations(range(10), 2)]
    assert 0 < sum(weak) < 20


def summed(scheme: Scheme, lost: Iterable[int]) -> bool:
    """Whether a round gives a sum although these are lost after they have shared their secrets."""
    silent = dict.fromkeys(lost, "masked")
    try:
        aggregate(dict.fromkeys(range(10), 0.5), scheme, lost=silent, entropy=SeededEntropy(1))
    except TooFew:
        return False
    return True


def test_a_stated_loss_is_planned_for_and_the_graph_of_a_larger_one_is_larger() -> None:
    small, large = (PROTOCOLS["secagg+"](1000, dropout=rate) for rate in (0.05, 0.2))
    assert isinstance(small, PairwiseMasking)
    assert isinstance(large, PairwiseMasking)
    assert (small.neighbours or 0) < (large.neighbours or 0)
    assert str(small) == str(PROTOCOLS["secagg+"](1000))


def test_the_names_of_all_options() -> None:
    assert options_of("secagg+") == {"neighbours", "threshold", "adversary", "corrupt", "dropout", "sigma", "eta"}
    assert options_of("secagg") == {"threshold", "adversary", "corrupt", "sigma"}
    for name in PROTOCOLS:
        assert "n" not in options_of(name)


def test_planned_threshold_is_more_than_half_the_neighbours() -> None:
    plan = PairwiseMasking.plan(10_000, corrupt=0.05, dropout=0.33, eta=20)
    assert (plan.neighbours, plan.threshold) == (86, 29)
    found = majority_plan(10_000, corrupt=0.05, dropout=0.33, eta=20)
    scheme = PROTOCOLS["secagg+"](10_000, corrupt=0.05, dropout=0.33, eta=20)
    assert isinstance(scheme, PairwiseMasking)
    assert (scheme.neighbours, scheme.threshold) == (found.neighbours, found.threshold)
    assert found.threshold == found.neighbours // 2 + 1
    assert found.neighbours > plan.neighbours
    assert found.log2_incorrect <= -20
    assert found.log2_insecure <= -40


@pytest.mark.parametrize("rates", [(0.05, 0.5), (0.1, 0.6)])
def test_no_regular_graph_keeps_half_where_half_are_lost(rates: tuple[float, float]) -> None:
    assert majority_plan(1000, *rates).complete


def test_one_party_is_no_cohort() -> None:
    with pytest.raises(BadCohort, match="1 party"):
        Session.create(["alone"], 0.0)


def test_too_few_names_phase_and_numbers() -> None:
    error = TooFew("shares", 3, 4)
    assert str(error) == "phase 'shares': 3 parties answered, 4 needed; no sum was opened"
