"""Secrets read from how long their handling takes (Kocher, CRYPTO 1996): the report that looks for it runs and counts
right. What it finds depends on the machine, so nothing here judges a time.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
import timing

CASES = {
    "combine shares of a secret": 4,
    "open a sealed message": 5,
    "check a share against its hash": 4,
}


def run(*options):
    command = [sys.executable, timing.__file__, *options]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_the_report_for_machines():
    done = run("--runs", "20", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {case: sum(row["case"] == case for row in rows) for case in CASES} == CASES
    assert all(row["median_ns"] > 0 and 1 < row["runs"] <= 20 for row in rows)


def test_the_report_for_people(capsys):
    timing.main(["--runs", "20"])
    printed = capsys.readouterr().out
    assert all(case in printed for case in CASES)
    assert "all zeros" in printed


def test_too_few_runs_are_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        timing.main(["--runs", "1"])
    assert "expected 20 or more" in capsys.readouterr().err


def test_welch_by_hand():
    """Means 2 and 5, variances 1 and 4, three values each: -3 / sqrt(1/3 + 4/3)."""
    a, b = np.array([1, 2, 3]), np.array([3, 5, 7])
    assert timing.welch(a, b) == pytest.approx(-3 / np.sqrt(5 / 3), rel=1e-15)
    assert timing.welch(a, a) == 0.0
    assert timing.welch(np.array([4, 4]), np.array([3, 3])) == np.inf


def test_a_class_that_is_slower_is_seen_and_the_slowest_tenth_is_not():
    draw = np.random.default_rng(0)
    fast, slow = (draw.integers(100 + more, 200 + more, 1000) for more in (0, 20))
    fast[:100] = slow[:100] = 10**9
    first, second = timing.compared("case", {"fast": fast, "slow": slow})
    assert (first.t, second.t > timing.SUSPICIOUS) == (0.0, True)
    assert first.runs == second.runs == 900
    assert second.median_ns - first.median_ns == pytest.approx(20, abs=5)
