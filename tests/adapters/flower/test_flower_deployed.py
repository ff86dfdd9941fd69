"""Real processes: a SuperLink with TLS and node authentication, three SuperNodes, one of which dies in a round."""

import re
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from deployment import Reports, as_a_reader, deployed

APP = Path(__file__).parent / "app"
EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "flower-hospitals"
sys.path.insert(0, str(APP))

from probe.training import SHAPES, examples, step  # noqa: E402


@pytest.fixture
def reports():
    with closing(Reports()) as listening:
        yield listening


def expected(rounds):
    """The model after each round, and the error that may have gathered by then."""
    model = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    for server_round, partitions in enumerate(rounds, 1):
        total = sum(examples(p) for p in partitions)
        model = {
            name: array + sum(examples(p) * step(p, server_round)[name] for p in partitions) / total
            for name, array in model.items()
        }
        yield model


def check(report, rounds):
    assert report["event"] == "done"
    slack = dict.fromkeys(SHAPES, 0.0)
    for server_round, model in enumerate(expected(rounds), 1):
        outcome = report["outcomes"][str(server_round)]
        assert outcome["failure"] is None
        assert outcome["weight"] == sum(examples(p) for p in rounds[server_round - 1])
        assert outcome["saturated"] == 0
        for name, array in model.items():
            slack[name] += outcome["error_bound"][name] + 1e-12
            assert np.abs(np.array(report["models"][str(server_round)][name]) - array).max() <= slack[name]


def killed_in_training(folder, reports, fatal_round):
    """The report of a run whose last round kills node 1 while it trains."""
    with deployed(folder, secure=True) as federation:
        federation.start_nodes(3)
        federation.run(APP, port=reports.port, rounds=fatal_round, victim=1, fatal_round=fatal_round, timeout=45)
        assert reports.next() == {"event": "training"}
        federation.kill_node(1)
        report = reports.next()
    check(report, [(0, 1, 2)] * (fatal_round - 1) + [(0, 2)])
    assert min(report["deployed"]) > 0.99  # as every node says itself
    outcome = report["outcomes"][str(fatal_round)]
    assert list(outcome["lost"].values()) == ["masked"]
    assert len(outcome["contributors"]) == 2
    return report


def test_a_supernode_killed_in_training_leaves_the_sum_of_the_others(tmp_path, reports):
    report = killed_in_training(tmp_path, reports, fatal_round=1)
    assert report["trips"] == [3, 3, 3, 2]


@pytest.mark.nightly
def test_a_supernode_killed_in_a_steady_round(tmp_path, reports):
    """Its keys had come ahead, and so had the others': the round has two trips beside the one that trains."""
    report = killed_in_training(tmp_path, reports, fatal_round=2)
    assert report["trips"] == [3, 3, 3, 3, 3, 3, 2]


def test_flwr_run_in_simulation(tmp_path, reports):
    """Three rounds, of which the first takes four trips and each other three: two more than plain FedAvg's one."""
    with deployed(tmp_path, secure=False, simulation=True) as federation:
        federation.run(APP, simulated=3, port=reports.port, rounds=3)
        report = reports.next()
    check(report, [(0, 1, 2)] * 3)
    assert max(report["deployed"]) < 0.01
    assert len(report["trips"]) == 4 + 3 + 3


@pytest.mark.nightly
@pytest.mark.parametrize(("scheme", "trips"), [("paillier", [3, 3, 1]), ("ckks", [3, 3, 3, 3])])
def test_ciphertexts_in_simulation(tmp_path, reports, scheme, trips):
    """Two rounds of real keys, each dealt anew: keys of Paillier and CKKS serve one round here."""
    with deployed(tmp_path, secure=False, simulation=True) as federation:
        federation.run(APP, simulated=3, port=reports.port, rounds=2, scheme=scheme)
        report = reports.next()
    check(report, [(0, 1, 2)] * 2)
    assert report["trips"] == trips * 2


@pytest.mark.nightly
def test_the_readmes_own_command_runs_the_example(tmp_path):
    """With an empty home, as a reader's: nothing of secagg is sought on a package index."""
    shell = re.findall(r"^```sh\n(.*?)^```", (EXAMPLE / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (block,) = (block for block in shell if "flwr run" in block)
    text = as_a_reader(block, EXAMPLE, tmp_path)
    aucs = [float(auc) for auc in re.findall(r"round \d starts from: .*auc ([\d.]+)", text)]
    assert len(aucs) == text.count("sum of 5 nodes, 0 lost") == 5, text
    assert min(aucs[1:]) > 0.95
