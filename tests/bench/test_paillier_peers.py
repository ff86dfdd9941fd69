"""The Paillier steps of `python -m bench peers` run without Flower, and say what they compare."""

import json

import pytest

from bench import peers, rounds
from bench.__main__ import main
from bench.cohorts import Options


def test_one_protocol_alone_needs_no_flower():
    names = [job.name for job in peers.jobs(Options(protocol="paillier", quick=True))]
    assert len(names) == 4
    assert all(name.startswith("Paillier") for name in names)
    assert [job.name for job in peers.jobs(Options(protocol="ckks", quick=True))] == ["CKKS by others"]


@pytest.mark.parametrize("suite", [rounds.handlers, rounds.rounds])
@pytest.mark.parametrize(("protocol", "name"), [("paillier", "Paillier, n = 16"), ("ckks", "CKKS, n = 16")])
def test_other_suites_take_one_round_of_it(suite, protocol, name):
    (job,) = suite(Options(protocol=protocol))
    assert name in job.name


@pytest.mark.nightly
def test_everything_is_measured(tmp_path):
    assert main(["peers", "--protocol", "paillier", "--quick", "--json", str(tmp_path / "peers.json")]) == 0
    rows = json.loads((tmp_path / "peers.json").read_text())["rows"]
    assert {row["case"]["by"] for row in rows} == {"phe", "gmpy2", "secagg"}
    assert any("3 of 5" in row["case"]["work"] for row in rows)
    assert all(row["seconds"] > 0 for row in rows)
