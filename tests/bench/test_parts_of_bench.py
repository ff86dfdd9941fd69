"""What the suites compute from times: medians, ratios, exponents, shares of a phase, verdicts, who is lost."""

import ast
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest

import secagg
import secagg_protocols
from bench import measure, peers, report
from bench.cohorts import TABLES, Cohort, Options
from bench.machine import Machine
from bench.measure import Trial, side_by_side
from bench.replay import replay, spread
from bench.results import Results, Row, row
from bench.rounds import rounds
from bench.targets import TARGETS, NotMeasured
from secagg.errors import PeerMisbehaved
from secagg.spans import REST, Listener
from secagg.testing import small_keys
from secagg_protocols import PROTOCOLS

MACHINE = Machine("cpu", ("aes",), 2, 2**30, "Linux", "3.11", {}, "OpenSSL", "vaes256", "abc", 0.0)


def made(suite, *rows):
    return {suite: Results(suite, f"python -m bench {suite}", False, 1.0, MACHINE, tuple(rows))}


def a_row(what, case, seconds, **figures):
    return Row(what, case, seconds, seconds, seconds, 1, figures)


def quiet(doing):
    pass


def test_medians_and_quartiles():
    found = row("what", {}, (5.0, 1.0, 3.0, 2.0, 4.0), bytes=6.0)
    assert (found.seconds, found.low, found.high, found.runs) == (3.0, 2.0, 4.0, 5)
    assert found.rate == 2.0
    few = row("what", {}, (2.0, 1.0))
    assert (few.low, few.high) == (1.0, 2.0)


@pytest.mark.parametrize("warm", [True, False])
def test_works_take_turns(monkeypatch, warm):
    monkeypatch.setattr(measure, "LEAST", 0.0)
    order = []
    trials = [Trial("what", {"of": name}, lambda name=name: order.append(name)) for name in "ab"]
    rows = side_by_side(trials, 3, warm=warm)
    assert order == list("ab" * (5 if warm else 3))  # two turns do not count
    assert {row.case["of"]: row.runs for row in rows} == {"a": 3, "b": 3}


def test_short_work_is_done_several_times_a_turn():
    calls = []
    (found,) = side_by_side([Trial("what", {}, lambda: calls.append(None), {"bytes": 8.0}, each=4)], 2)
    assert len(calls) > 4
    assert (len(calls) - 2) % 2 == 0
    assert found.seconds < 1e-3
    assert found.figures == {"bytes": 8.0}


@pytest.mark.parametrize("lost", range(1, 101))
def test_the_lost_are_spread_over_the_circle(lost):
    places = spread(100, lost)
    assert len(set(places)) == lost
    gaps = np.diff([*places, 100 + places[0]])
    assert gaps.max() - gaps.min() <= 1


def lost_neighbours(places, circle, degree):
    lost = np.zeros(circle, int)
    lost[places] = 1
    return sum(np.roll(lost, shift) for shift in range(-degree // 2, degree // 2 + 1)) - lost


def test_29_of_100_leave_21_of_30_neighbours_to_everybody():
    assert lost_neighbours(spread(100, 29), 100, 30).max() == 9


def test_no_30_of_100_do():
    """If nobody may lose more than 9 of 30 neighbours, all lose exactly 9; then only patterns of period 5 are left."""
    # 30 lost have 900 ends of edges. If each of 100 lost at most 9 neighbours, these would be at most 900: equality.
    window = np.zeros(100)
    window[[*range(1, 16), *range(85, 100)]] = 1
    eigenvalues = np.fft.fft(window)  # of "number of lost neighbours", a convolution
    kernel = np.flatnonzero(np.abs(eigenvalues) < 1e-9)
    assert kernel.tolist() == [20, 40, 60, 80]  # so a pattern is a constant and waves of period 5
    assert 30 % (100 // 5) != 0  # such a pattern loses a multiple of 20


def test_a_replay_is_a_round():
    cohort = Cohort(8, 40, 4, 1)
    trace = replay(cohort, quiet)
    phases = ["keys", "shares", "masked", "unmask"]
    assert list(trace.server) == list(trace.asked) == phases
    assert [len(trace.client[phase]) for phase in phases] == [8, 8, 7, 7]
    assert [len(trace.replied[phase]) for phase in phases] == [8, 8, 7, 7]
    assert all(clocks[0] > 0 for clocks in trace.server.values())


REPLAYS = {
    "paillier": {"deal": ("dealer", 3), "encrypted": ("client", 6), "decrypt": ("holder", 1)},
    "ckks": {"keys": ("client", 8), "deal": ("dealer", 3), "encrypted": ("client", 6), "decrypt": ("holder", 3)},
}


@pytest.mark.parametrize("family", REPLAYS)
def test_a_replay_of_ciphertexts_is_a_round_with_roles(family):
    with small_keys():
        trace = replay(Cohort(8, 40, lost=2, family=family), quiet)
    assert {phase: (trace.roles[phase], len(seconds)) for phase, seconds in trace.client.items()} == REPLAYS[family]
    assert list(trace.server) == list(REPLAYS[family])
    assert trace.totals()["holder"] > 0
    assert "holder" not in replay(Cohort(4, 10), quiet).totals()


@pytest.mark.parametrize("family", REPLAYS)
def test_key_holders_are_not_among_the_lost(family):
    """All may go silent but for three: who dealt, and may have to open the sum, stays."""
    for _ in range(3):
        replay(Cohort(9, 5, lost=6, family=family), quiet)


@pytest.mark.parametrize("family", REPLAYS)
def test_a_replay_of_ciphertexts_checks_the_sum(family, monkeypatch):
    where = {"paillier": "secagg.primitives.modular.Accumulator.multiply", "ckks": "secagg.primitives.ckks.Masks.add"}
    real = resolve_name(where[family])
    seen = []

    def all_but_one(self, values):
        seen.append(values)
        return None if len(seen) == 2 else real(self, values)

    monkeypatch.setattr(where[family], all_but_one)
    with pytest.raises((AssertionError, PeerMisbehaved)):
        replay(Cohort(5, 10, family=family), quiet)


def test_a_replay_checks_the_sum(monkeypatch):
    monkeypatch.setattr("secagg_protocols.pairwise.server.add_packed", lambda *arguments: None)
    with pytest.raises((AssertionError, PeerMisbehaved)):
        replay(Cohort(4, 10), quiet)


def test_a_listener_hears_the_parts_of_a_round():
    with Listener() as heard:
        replay(Cohort(6, 10, 4), quiet, heard)
    assert {part for _, _, part in heard.seconds} >= {
        "mask streams",
        "X25519 and HKDF of pairs",
        "unpack and add",
        REST,
    }


def test_parts_of_ciphertexts():
    """Every part of these families is somebody's, and charged to the role that the phase asks."""
    with Listener() as heard:
        for family in REPLAYS:
            replay(Cohort(4, 10, family=family), quiet, heard)
    found = {part for _, _, part in heard.seconds}
    assert found >= {part for part in TABLES.parts if "Paillier" in part or "CKKS" in part}
    assert ("deal", "dealer", "Paillier keys and their proofs") in heard.seconds
    assert ("decrypt", "holder", "opening of CKKS sums") in heard.seconds


def spans():
    """Names of all spans in the source."""
    for package in (secagg, secagg_protocols):
        for path in Path(package.__file__).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                for mark in getattr(node, "decorator_list", ()):
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "span":
                        yield mark.args[0].value


def test_every_span_has_a_colour_and_a_remedy():
    assert set(TABLES.parts) == {*spans(), REST}
    assert all(part["colour"] and part["remedy"] for part in TABLES.parts.values())
    assert len({part["colour"] for part in TABLES.parts.values()}) == len(TABLES.parts)


def test_a_power_law_is_found():
    axis = TABLES.growth["growth"][2]
    rows = [
        a_row(f"growth by {axis.name}", {axis.x: x}, 1.0, **{"server cpu": 3e-6 * x**1.5, "client": 2e-6 * x})
        for x in (64, 16, 256)
    ]
    results = made("rounds", *rows)["rounds"]
    server, client = (report.curve(results, axis, figure) for figure in ("server cpu", "client"))
    assert server.x == (16, 64, 256)
    assert (server.exponent, server.last, server.factor) == pytest.approx((1.5, 1.5, 3e-6))
    assert client.exponent == pytest.approx(1.0)
    with pytest.raises(NotMeasured):
        report.curve(made("rounds", rows[0])["rounds"], axis, "server cpu")


@pytest.mark.parametrize("suite", ["kernels", "handlers", "rounds", "peers"])
@pytest.mark.parametrize("name", TARGETS)
def test_no_target_is_judged_without_its_row(suite, name):
    for found in ({}, made(suite)):
        with pytest.raises(NotMeasured):
            TARGETS[name].judge(found)


def test_the_page_has_every_target_once():
    text = report.text(made("handlers"))
    for target in TARGETS.values():
        assert text.count(f"| {target.what} | {target.promise} | not measured |") == 1


@pytest.mark.parametrize(("seconds", "met"), [(2.9, True), (3.1, False)])
def test_the_full_graph_within_three_seconds(seconds, met):
    case = {"protocol": "SecAgg", "clients": 500}
    row = a_row("large round", case, seconds, **{"server cpu": 4.0, "server thread": 2.5})
    found = TARGETS["full graph"].judge(made("rounds", row))
    assert found[1] is met
    assert found[0] == f"{seconds} s (4 s of processor time, 2.5 s of it in one thread)"


@pytest.mark.parametrize(("many", "met"), [(230e6, True), (231e6, False)])
def test_memory_of_a_thousand_against_a_hundred(many, met):
    rows = [a_row("memory", {"clients": n}, 0.0, after=size) for n, size in ((100, 200e6), (1000, many))]
    assert TARGETS["memory"].judge(made("rounds", *rows))[1] is met


@pytest.mark.parametrize(("over", "met"), [(0.00001, True), (0.001, False), (-0.01, False)])
def test_upload(over, met):
    row = a_row("upload", {"clients": 1 << 10, "dim": 1 << 20}, 1.0, **{"ring bits": 26, "over": over})
    assert TARGETS["upload"].judge(made("handlers", row))[1] is met


@pytest.mark.parametrize(("theirs", "met"), [(0.31, True), (0.29, False)])
def test_flower_against_ours(theirs, met):
    sizes = {"clients": 100, "neighbours": 30, "dim": 100_000, "role": "client"}
    rows = [
        a_row("peer", {**sizes, "by": by, "phase": phase}, seconds / 2)
        for by, seconds in (("secagg", 0.01), ("Flower", theirs))
        for phase in ("shares", "masked")
    ]
    assert TARGETS["client against Flower"].judge(made("peers", *rows))[1] is met


@pytest.mark.parametrize(("size", "met"), [(599_999, True), (600_000, False)])
def test_bytes_of_ckks(size, met):
    row = a_row("ckks", {"by": "secagg", "of": "encrypt", "clients": 16, "dim": 100_000}, 1.0, bytes=size)
    assert TARGETS["CKKS bytes"].judge(made("peers", row))[1] is met


@pytest.mark.parametrize(("seconds", "met"), [(0.39, True), (0.41, False)])
def test_seconds_of_ckks(seconds, met):
    row = a_row("ckks", {"by": "secagg", "of": "encrypt", "clients": 16, "dim": 1_000_000}, seconds)
    assert TARGETS["CKKS encrypts"].judge(made("peers", row))[1] is met


def test_ckks_by_others_and_all_protocols():
    """On tiny sizes: both sums are checked inside, and the page shows each."""
    rows = [*side_by_side(list(peers.ckks_by_others(3, 50)), 1), *peers.protocols(4, 50, quiet, runs=1)]
    assert {row.case["of"] for row in rows if row.what == "ckks"} == {"encrypt", "add", "decrypt"}
    assert {row.case["by"] for row in rows if row.what == "family"} == set(PROTOCOLS)
    results = made("peers", a_row("peer", Cohort(4, 50).case | {"by": "plain FedAvg"}, 1.0), *rows)
    text = report.text(results)
    assert "| encrypt, dim 50 |" in text
    assert all(f"| {name} |" in text for name in PROTOCOLS)


def test_a_missing_instruction_set_is_neither_met_nor_missed():
    rows = [
        a_row("target: add_masks", {"path": "vaes256", "dim": 1 << 20, "threads": 1}, 1.0, bytes=30.0),
        a_row("target: keystream", {"by": "OpenSSL AES-128-CTR"}, 1.0, bytes=10.0),
    ]
    found = TARGETS["masks against OpenSSL"].judge(made("kernels", *rows))
    assert found[1] is None
    assert "3.00x" in found[0]


def test_options_fill_in_what_is_left_open():
    standard = Cohort(100, 1000, 30, 20)
    assert Options(clients=50).cohort(standard) == Cohort(50, 1000, 30, 10)
    assert Options(protocol="secagg", lost=0).cohort(standard) == Cohort(100, 1000, None, 0)
    assert Options(neighbours=10, dim=7).cohort(standard) == Cohort(100, 7, 10, 20)
    assert Options(protocol="ckks", clients=20).cohort(standard) == Cohort(20, 1000, None, 4, family="ckks")


def test_every_point_of_every_curve_is_a_job():
    names = [job.name for job in rounds(Options())]
    for axes in TABLES.growth.values():
        for axis in axes:
            assert len([name for name in names if name.startswith(f"by {axis.name}: ")]) == len(axis.values)


def test_results_that_lack_ciphertexts_are_drawn_without_them():
    """As those of before they were measured."""
    figures = {"server cpu": 1, "server cpu unmask": 1, "client": 1}
    what = f"growth by {TABLES.growth['growth'][0].name}"
    old = made("rounds", *(a_row(what, Cohort(n, 10).case, 1.0, **figures) for n in (8, 16)))
    assert "Sums of ciphertexts" not in report.text(old)
    assert "growth-ciphertexts" not in report.figures(old)
    assert "growth" in report.figures(old)
