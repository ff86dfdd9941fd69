"""Kill -9 at random points: the round ends exact or in a named error, no party answers twice, no restart loses one."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import peers
import pytest

ROUNDS = 14
FIRST = {"masks": 0, "ciphertexts": 80}
"""Seeds from which some of as many rounds put a party's state back."""
NIGHTLY_ROUNDS = 300
KINDS = {"masks": {"secagg", "secagg+", "active"}, "ciphertexts": {"ckks", "paillier", "paillier, 2 of 3"}}
PROGRAM = Path(__file__).with_name("killing.py")


def run(folder, family, first, rounds):
    """Reports of the rounds, one by one, each judged."""
    command = [sys.executable, str(PROGRAM), str(folder), family, str(first), str(rounds)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=900)
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"seed {first + len(reports)}: {done.stderr}"
    assert len(reports) == rounds
    for report in reports:
        try:
            report["stale"] = law(folder / str(report["seed"]), report)
        except AssertionError as error:
            error.add_note(f"round of seed {report['seed']}: {report}")
            raise
    return reports


def law(folder, report):
    """What holds of every round. Returns who found that its state had been put back."""
    told = {party: peers.notes(folder, f"party-{party}") for party in range(report["parties"])}
    for lines in told.values():
        one_reply_to_a_phase(lines)
    ends = peers.notes(folder, "server")
    assert ends
    for end in ends:
        if "error" in end:
            assert report["lost"]
            assert end["error"] == "TooFew"
        else:
            exact(end, told)
            assert set(end["lost"]) <= set(report["lost"])
            assert end["misbehaved"] == {}
    assert len({tuple(end["contributors"]) for end in ends if "error" not in end}) <= 1
    for party in report["put_back"]:  # the round may have ended before it could start again, or be buried
        assert party not in report["lost"] or is_stale(told[party])
    assert not [line for lines in told.values() for line in lines if "refusal" in line]
    return [party for party, lines in told.items() if is_stale(lines)]


def is_stale(lines):
    return any("known to have reached step" in line.get("stale", "") for line in lines)


def one_reply_to_a_phase(lines):
    replies = {}
    for line in lines:
        if "reply" in line:
            assert replies.setdefault(line["phase"], line["reply"]) == line["reply"]


def exact(end, told):
    """The sum of what each contributor made last: nothing is made any more once a vector has been answered."""
    made = [[line["vector"] for line in told[party] if "vector" in line][-1] for party in end["contributors"]]
    np.testing.assert_array_equal(end["sum"], np.sum(made, axis=0))


@pytest.mark.parametrize("family", KINDS)
def test_a_dozen_rounds(tmp_path, family):
    reports = run(tmp_path, family, FIRST[family], ROUNDS)
    assert sum(report["kills"] for report in reports) >= ROUNDS
    assert {report["kind"] for report in reports} == KINDS[family]
    assert any(set(report["put_back"]) & set(report["stale"]) for report in reports)
    assert any(not report["lost"] for report in reports)


@pytest.mark.nightly
@pytest.mark.parametrize("family", KINDS)
def test_hundreds_of_rounds(tmp_path, family):
    reports = run(tmp_path, family, 1000, NIGHTLY_ROUNDS)
    assert sum(report["kills"] for report in reports) >= NIGHTLY_ROUNDS
    assert sum(bool(report["put_back"]) for report in reports) > NIGHTLY_ROUNDS // 50
