"""The planner: published rows, exact rational arithmetic, laws, and whether its bounds are bounds."""

import dataclasses
import json
import math
import subprocess
import sys
from fractions import Fraction
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from secagg import Draw
from secagg.errors import ConfigError, OutOfRange
from secagg_protocols.pairwise import plan as module
from secagg_protocols.pairwise.graph import harary
from secagg_protocols.pairwise.plan import log_at_least, log_at_most, log_disconnected, plan

ROWS = json.loads((Path(__file__).parents[2] / "vectors/secaggplus_parameters.json").read_text())["rows"]
ADVERSARY = {"honest-but-curious": "passive", "semi-malicious": "active"}
ODDS = ("corrupt", "dropout", "sigma", "eta")


def row_plan(row):
    return plan(row["n"], *(row[name] for name in ODDS), ADVERSARY[row["server"]])


# The rule once more, in whole numbers and without any search.


def exact_at_least(pool, marked, drawn, least):
    ways = (math.comb(marked, x) * math.comb(pool - marked, drawn - x) for x in range(max(least, 0), drawn + 1))
    return Fraction(sum(ways), math.comb(pool, drawn))


def exact_disconnected(n, degree, bad):
    return Fraction(n * (n - degree - 1), 2) * Fraction(math.perm(bad, degree), math.perm(n, degree))


def exact_plan(n, corrupt, dropped, sigma, eta, adversary):
    """(k, t) of the smallest even degree that works, or None; corrupt and dropped are whole clients."""
    security, correctness = Fraction(1, 2 ** (sigma + 1)), Fraction(1, 2**eta * n)
    for k in range(2, n - 1, 2):
        if exact_disconnected(n, k, min(n, corrupt + dropped)) >= security:
            continue
        t1 = next(x for x in range(k + 1) if exact_at_least(n - 1, corrupt, k, x + 1) <= security / n)
        if adversary == "active":
            t1 = math.ceil(Fraction(4 * (t1 + k) - 5, 8))  # (t1 + k - 1.25) / 2
        short = [1 - exact_at_least(n - 1, n - 1 - dropped, k, t) for t in range(k + 1)]
        t2 = max(t for t in range(k + 1) if short[t] <= correctness)
        if t1 < t2:
            return k, t1 + 1
    return None


def log_of(probability):
    """ln of a Fraction, accurate on both sides of 1/2."""
    if probability > Fraction(1, 2):
        return math.log1p(-float(1 - probability))
    return math.log(probability.numerator) - math.log(probability.denominator) if probability else -math.inf


def close(got, expected):
    return math.isclose(got, expected, rel_tol=1e-11, abs_tol=1e-12)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['n']}-{row['server']}-k{row['k']}")
def test_rows_of_the_vectors(row):
    found = row_plan(row)
    assert (found.neighbours, found.threshold, found.complete) == (row["k"], row["t"], False)
    assert found.log2_insecure <= -row["sigma"]
    assert found.log2_incorrect <= -row["eta"]


@pytest.mark.parametrize("adversary", ["passive", "active"])
def test_a_hundred_million_clients_exactly(adversary):
    n, bad = 10**8, 5 * 10**6
    found = plan(n, adversary=adversary)
    k, t = found.neighbours, found.threshold
    assert (k, t) == exact_plan(n, bad, bad, 40, 30, adversary)
    enough = 2 * t - k if adversary == "active" else t
    insecure = exact_disconnected(n, k, 2 * bad) + n * exact_at_least(n - 1, bad, k, enough)
    incorrect = n * (1 - exact_at_least(n - 1, n - 1 - bad, k, t))
    assert close(found.log2_insecure * math.log(2), log_of(insecure))
    assert close(found.log2_incorrect * math.log(2), log_of(incorrect))


@pytest.mark.parametrize(("corrupt", "dropout"), [(0.05, 0.05), (0.33, 0.33), (0.45, 0.45), (0.6, 0.39)])
def test_a_hundred_million_clients_take_few_evaluations(corrupt, dropout, monkeypatch):
    widths = []

    def counted(n, k):
        widths.append(min(k, n - k))
        return log_falling(n, k)

    log_falling = module._log_falling
    monkeypatch.setattr(module, "_log_falling", counted)
    found = plan(10**8, corrupt, dropout)
    assert not found.complete
    assert len(widths) < 5000


@st.composite
def draws(draw, most=60):
    pool = draw(st.integers(1, most))
    marked, drawn = draw(st.integers(0, pool)), draw(st.integers(0, pool))
    return pool, marked, drawn, draw(st.integers(-2, drawn + 2))


@given(draws())
def test_tails_are_the_hypergeometric_ones(drawing):
    pool, marked, drawn, x = drawing
    above = exact_at_least(pool, marked, drawn, x)
    below = 1 - exact_at_least(pool, marked, drawn, x + 1)
    assert close(log_at_least(pool, marked, drawn, x), log_of(above))
    assert close(log_at_most(pool, marked, drawn, x), log_of(below))


@pytest.mark.parametrize("least", [3001, 3100, 3500, 6000])
def test_tails_of_wide_draws(least):
    pool, marked, drawn = 100_000, 30_000, 10_000
    term = math.comb(marked, least) * math.comb(pool - marked, drawn - least)
    total = 0
    for x in range(least, drawn + 1):
        total += term
        term = term * (marked - x) * (drawn - x) // ((x + 1) * (pool - marked - drawn + x + 1))
    exact = math.log(total) - math.log(math.comb(pool, drawn))
    # log-gammas of 10^5 are about 10^6, so eight of them leave an error of about 10^-9
    assert math.isclose(log_at_least(pool, marked, drawn, least), exact, rel_tol=0, abs_tol=5e-9)


@given(st.integers(4, 60), st.data())
def test_bound_on_disconnection_is_its_formula(n, data):
    degree = 2 * data.draw(st.integers(1, (n - 2) // 2))
    bad = data.draw(st.integers(0, n))
    exact = exact_disconnected(n, degree, bad)
    got = log_disconnected(n, degree, bad)
    assert got == -math.inf if not exact else close(got, float(math.log(exact)))


@cache
def parted(n, degree):
    """How many of the sets of each size disconnect the rest of the graph when removed."""
    joined = [sum(1 << int(j) for j in row) for row in harary(np.arange(n), degree)]
    counts = [0] * (n + 1)
    for removed in range(1 << n):
        rest = ((1 << n) - 1) & ~removed
        found = edge = rest & -rest
        while edge:
            seen = 0
            for i in range(n):
                seen |= joined[i] if edge >> i & 1 else 0
            edge = seen & rest & ~found
            found |= edge
        counts[removed.bit_count()] += found != rest
    return counts


@pytest.mark.parametrize(("n", "degree"), [(n, k) for n in range(4, 13) for k in (2, 4, 6) if k < n - 1])
def test_bound_on_disconnection_holds_for_every_set_of_bad_nodes(n, degree):
    tight = False
    for bad, count in enumerate(parted(n, degree)):
        odds = Fraction(count, math.comb(n, bad))
        assert odds <= exact_disconnected(n, degree, bad)
        assert odds == 0 or log_disconnected(n, degree, bad) > -math.inf
        tight |= count > 0 and odds == exact_disconnected(n, degree, bad)
    assert tight  # at bad == degree the bound is the truth: a looser formula would pass for a wrong reason


@settings(max_examples=200)
@given(
    st.integers(3, 70),
    st.integers(0, 60),
    st.integers(0, 60),
    st.sampled_from([1, 2, 5, 10, 20, 40]),
    st.sampled_from([1, 2, 5, 10, 20, 30]),
    st.sampled_from(["passive", "active"]),
)
def test_no_smaller_degree_or_threshold_would_do(n, corrupt, dropped, sigma, eta, adversary):
    assume(corrupt + dropped < n)
    found = plan(n, corrupt / n, dropped / n, sigma, eta, adversary)
    # corrupt / n is rounded to a double; the planner rounds its product with n up
    whole = [math.ceil(n * Fraction(repr(count / n))) for count in (corrupt, dropped)]
    exact = exact_plan(n, *whole, sigma, eta, adversary)
    assert found.complete == (exact is None)
    assert (found.neighbours, found.threshold) == (exact or (n - 1, 2 * n // 3 + 1))


@settings(max_examples=40)
@given(
    st.integers(3, 3000),
    st.floats(0, 0.99),
    st.floats(0, 0.99),
    st.sampled_from([1, 5, 20, 40, 104]),
    st.sampled_from([1, 5, 20, 30, 60]),
    st.sampled_from([(False, False), (True, False), (False, True)]),
)
def test_the_search_skips_no_degree_that_works(n, corrupt, dropout, sigma, eta, mode):
    assume(corrupt + dropout < 1)
    setting = module._Setting(n, math.ceil(n * corrupt), math.ceil(n * dropout), sigma, eta, *mode)
    found = module._least_regular(setting)
    for degree in range(2, found[0] if found else n - 1, 2):
        threshold = setting.threshold(degree, setting.colluders(degree))
        assert not (setting.connected(degree) and setting.holds(degree, threshold))


@given(
    st.integers(3, 10**6),
    st.fixed_dictionaries(
        {
            "corrupt": st.sampled_from([0, 0.01, 0.05, 0.1, 0.2]),
            "dropout": st.sampled_from([0, 0.01, 0.05, 0.1, 0.3]),
            "sigma": st.sampled_from([10, 40, 80]),
            "eta": st.sampled_from([10, 30, 40]),
        }
    ),
    st.sampled_from(ODDS),
    st.sampled_from(["passive", "active"]),
)
def test_asking_for_more_never_takes_fewer_neighbours(n, asked, name, adversary):
    more = asked | {name: asked[name] + (0.07 if name in {"corrupt", "dropout"} else 7)}
    less_asked, more_asked = plan(n, **asked, adversary=adversary), plan(n, **more, adversary=adversary)
    assert less_asked.neighbours <= more_asked.neighbours
    assert plan(n, **asked, adversary="passive").neighbours <= less_asked.neighbours


@given(st.integers(3, 10**8), st.floats(0, 0.45), st.floats(0, 0.45), st.sampled_from(["passive", "active"]))
def test_a_plan_keeps_what_was_asked(n, corrupt, dropout, adversary):
    found = plan(n, corrupt, dropout, 50, 25, adversary)
    assert (found.n, found.corrupt, found.dropout) == (n, corrupt, dropout)
    assert (found.sigma, found.eta, found.adversary) == (50, 25, adversary)
    assert 1 <= found.threshold <= found.neighbours + found.complete
    if found.complete:
        assert (found.neighbours, found.threshold) == (n - 1, 2 * n // 3 + 1)
        assert {found.log2_insecure, found.log2_incorrect} <= {0.0, -math.inf}
    else:
        assert found.neighbours % 2 == 0
        assert found.neighbours < n - 1
        assert found.log2_insecure <= -50
        assert found.log2_incorrect <= -25


@pytest.mark.parametrize("row", [row for row in ROWS if row["server"] == "semi-malicious"])
def test_an_active_server_needs_as_many_colluders_as_the_threshold_assumes(row):
    k, t = row["k"], row["t"]

    def both_open(colluders):
        honest = k - colluders
        return any(colluders + told >= t and colluders + honest - told >= t for told in range(honest + 1))

    enough = 2 * t - k
    assert [both_open(x) for x in range(k + 1)] == [x >= enough for x in range(k + 1)]
    found = row_plan(row)
    corrupt = math.ceil(row["n"] * Fraction(str(row["corrupt"])))
    opened = row["n"] * exact_at_least(row["n"] - 1, corrupt, k, enough)
    assert opened <= Fraction(1, 2 ** (row["sigma"] + 1))
    assert found.log2_insecure * math.log(2) >= log_of(opened) - 1e-9


def test_rates_mean_their_decimal_notation_and_round_up():
    assert 100 * 0.07 > 7  # why: as doubles this would be eight clients
    assert astuple(plan(100, 0.07, 0)) == exact_plan(100, 7, 0, 40, 30, "passive")
    assert astuple(plan(1001, 0.05, 0.1)) == exact_plan(1001, 51, 101, 40, 30, "passive")
    assert astuple(plan(1001, 0.05, 0.1)) != exact_plan(1001, 50, 101, 40, 30, "passive")


def astuple(found):
    return found.neighbours, found.threshold


def test_nobody_corrupt_and_nobody_lost_leaves_the_circle():
    found = plan(1000, 0, 0)
    assert astuple(found) == (2, 1)
    assert found.log2_insecure == found.log2_incorrect == -math.inf


@pytest.mark.parametrize(
    ("n", "corrupt", "dropout", "adversary", "insecure", "incorrect"),
    [
        (3, 0.05, 0, "passive", False, False),
        (5, 0.05, 0.05, "passive", False, False),
        (10, 0.4, 0.4, "passive", False, True),  # 6 left, 7 needed
        (10, 0.6, 0.3, "passive", False, False),
        (10, 0.7, 0.2, "passive", True, False),  # 7 corrupt, 7 needed
        (10, 0.3, 0.3, "active", False, False),
        (10, 0.4, 0.2, "active", True, False),  # 4 corrupt give 8 and 6 honest give 6: twice 7
    ],
)
def test_complete_graph_of_small_cohorts(n, corrupt, dropout, adversary, insecure, incorrect):
    found = plan(n, corrupt, dropout, adversary=adversary)
    assert found.complete
    assert astuple(found) == (n - 1, 2 * n // 3 + 1)
    assert found.log2_insecure == (0.0 if insecure else -math.inf)
    assert found.log2_incorrect == (0.0 if incorrect else -math.inf)


@pytest.mark.parametrize("n", [2, 1, 0, -5, 10**9 + 1, 10.0, "10", None, True, math.nan])
def test_n_out_of_range(n):
    with pytest.raises(OutOfRange, match=r"^n is .*: expected an integer in 3\.\.10\*\*9"):
        plan(n)


@pytest.mark.parametrize(
    ("name", "rate"),
    list(product(["corrupt", "dropout"], [-0.1, 1, 1.5, math.nan, math.inf, 10**400, "0.1", None, True, 1j])),
)
def test_rate_out_of_range(name, rate):
    with pytest.raises(OutOfRange, match=rf"^{name} is .*: expected a number in \[0, 1\)"):
        plan(100, **{name: rate})


@pytest.mark.parametrize(("name", "bits"), list(product(["sigma", "eta"], [0, -1, 1025, 40.0, "40", None, True])))
def test_bits_out_of_range(name, bits):
    with pytest.raises(OutOfRange, match=rf"^{name} is .*: expected an integer in 1\.\.1024"):
        plan(100, **{name: bits})


@pytest.mark.parametrize(("corrupt", "dropout"), [(0.5, 0.5), (0.1, 0.9), (0.7, 0.3), (0.99, 0.99)])
def test_rates_that_leave_no_honest_survivor(corrupt, dropout):
    with pytest.raises(OutOfRange, match=r"corrupt \+ dropout must be below 1"):
        plan(100, corrupt, dropout)


@pytest.mark.parametrize("adversary", ["malicious", "", None, 1, ["active"]])
def test_unknown_adversary(adversary):
    with pytest.raises(ConfigError, match=r"^adversary is .*: expected one of passive, active"):
        plan(100, adversary=adversary)


def test_numbers_of_numpy_are_numbers():
    assert plan(np.int64(1000), np.float64(0.05), 0, np.int32(40)) == plan(1000, 0.05, 0.0, 40)


def test_a_plan_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan(100).threshold = 1


def test_planning_does_not_import_scipy_stats():
    code = "import sys, secagg_protocols.pairwise.plan; sys.exit('scipy.stats' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# Cohorts that are drawn from a roster.


def exact_corrupt_of_draw(members, colluding, size, rounds, sigma):
    """The least c for which rounds * P[more than c of a cohort are corrupt] <= 2^-sigma."""
    allowed = Fraction(1, 2**sigma * rounds)
    return next(c for c in range(size + 1) if exact_at_least(members, colluding, size, c + 1) <= allowed)


@pytest.mark.parametrize(
    ("members", "rate", "size", "rounds", "sigma"),
    [(200, 0.1, 60, 1, 40), (200, 0.1, 60, 1000, 40), (1000, 0.05, 100, 1000, 40), (50, 0.2, 20, 7, 1)],
)
def test_the_rate_of_drawn_cohorts_is_the_least_that_holds(members, rate, size, rounds, sigma):
    expected = exact_corrupt_of_draw(members, math.ceil(members * rate), size, rounds, sigma)
    found = module.corrupt_of_draw(Draw(bytes(16), size, rounds), members, rate, sigma)
    assert module.clients(size, found) == expected


@pytest.mark.parametrize("colluding", range(1, 60))
def test_the_rate_stands_for_whole_clients_and_is_the_rosters_where_all_are_in(colluding):
    """`corrupt` is rounded up to whole clients, which makes eight of a rate of 7 / 60."""
    found = module.corrupt_of_draw(Draw(bytes(16), 60, 9), 60, (colluding - 0.5) / 60)
    assert module.clients(60, found) == colluding


def test_a_roster_without_corrupt_members():
    assert module.corrupt_of_draw(Draw(bytes(16), 20, 9), 60, 0.0) == 0.0


def test_a_cohort_that_may_be_corrupt_as_a_whole():
    with pytest.raises(OutOfRange, match="cohorts of 5: all of one may be corrupt, of 50 among 1000 members"):
        module.corrupt_of_draw(Draw(bytes(16), 5, 9), 1000, 0.05)


@pytest.mark.parametrize(
    ("values", "message"),
    [((19,), "members is 19"), ((60, 1.0), "corrupt is 1.0"), ((60, 0.1, 0), "sigma is 0: .* 1..1024")],
)
def test_what_is_no_roster(values, message):
    with pytest.raises(OutOfRange, match=message):
        module.corrupt_of_draw(Draw(bytes(16), 20, 9), *values)
