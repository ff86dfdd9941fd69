"""Every suite runs on tiny sizes, its JSON reads back, the page is drawn from it; Flower runs in `make bench-quick`."""

import importlib.util
import json
import xml.etree.ElementTree as ET

import pytest

from bench import report, results
from bench.__main__ import HERE, SUITES, main
from secagg.errors import ConfigError

MEASURED = ("kernels", "handlers", "rounds")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The JSON of each suite, as the command writes it."""
    made = tmp_path_factory.mktemp("results")
    for suite in MEASURED:
        assert main([suite, "--quick", "--json", str(made / f"{suite}.json")]) == 0
    return made


@pytest.mark.parametrize("suite", MEASURED)
def test_json_says_what_was_measured_and_where(folder, suite):
    found = json.loads((folder / f"{suite}.json").read_text())
    assert found["suite"] == suite
    assert found["command"] == f"python -m bench {suite} --quick"
    assert found["quick"] is True
    assert set(found["machine"]) >= {"cpu", "features", "cores", "python", "libraries", "openssl", "kernel", "commit"}
    assert all(row["low"] <= row["seconds"] <= row["high"] for row in found["rows"])


def test_json_reads_back_as_it_was_saved(folder, tmp_path):
    found = results.load(folder)
    assert set(found) == set(MEASURED)
    results.save(found["rounds"], tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (folder / "rounds.json").read_bytes()


def test_the_page_and_its_figures_are_drawn(folder, tmp_path):
    written = report.draw(results.load(folder), tmp_path)
    figures = {f"bench-{name}.svg" for name in ("roofline", "growth", "growth-ciphertexts", "parts")}
    assert {path.name for path in written} >= {"benchmarks.md", *figures}
    for path in written[1:]:
        assert ET.fromstring(path.read_text()).tag.endswith("svg")
    text = written[0].read_text()
    assert "tiny sizes" in text
    assert "| clients n, CKKS | 8 .. 16 |" in text
    assert "| decrypt | holder |" in text.partition("### Paillier")[2]
    assert "Not measured yet: peers." in text
    assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith(("|", "![")))


def test_the_same_results_give_the_same_files(folder, tmp_path):
    for name in ("one", "other"):
        report.draw(results.load(folder), tmp_path / name)
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*")]
    assert len(files) >= 5
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "other" / path).read_bytes(), path


def test_the_page_in_the_documents_is_the_one_that_the_results_give():
    found = results.load(HERE / "results")
    assert (HERE.parent / "docs" / "benchmarks.md").read_text("utf-8") == report.text(found)
    assert not any(result.quick for result in found.values())


def test_nothing_to_draw(tmp_path, capsys):
    with pytest.raises(ConfigError, match="no results"):
        report.draw({}, tmp_path)
    assert main(["report", "--results", str(tmp_path), "--docs", str(tmp_path)]) == 2
    assert "no results to draw" in capsys.readouterr().err


def test_one_cohort_instead_of_the_suites_own(tmp_path):
    path = tmp_path / "one.json"
    sizes = ["--protocol", "secagg+", "--clients", "9", "--neighbours", "4", "--dim", "50", "--lost", "1"]
    assert main(["rounds", *sizes, "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert {row["what"] for row in rows} == {"round", "part"}
    assert rows[0]["case"] == {
        "protocol": "SecAgg+",
        "clients": 9,
        "dim": 50,
        "neighbours": 4,
        "threshold": 3,
        "lost": 1,
    }


def test_one_cohort_of_ciphertexts(tmp_path):
    path = tmp_path / "one.json"
    sizes = ["--protocol", "ckks", "--clients", "6", "--dim", "50", "--lost", "2"]
    assert main(["handlers", *sizes, "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert {row["what"] for row in rows} == {"phase", "part"}
    assert rows[0]["case"] == {
        "protocol": "CKKS",
        "clients": 6,
        "dim": 50,
        "lost": 2,
        "phase": "keys",
        "role": "client",
    }
    roles = {(row["case"]["phase"], row["case"]["role"]) for row in rows}
    assert roles >= {("deal", "dealer"), ("encrypted", "client"), ("decrypt", "holder"), ("decrypt", "server")}


def test_a_round_that_cannot_stand_is_one_line(capsys):
    assert main(["rounds", "--protocol", "secagg", "--clients", "6", "--dim", "10", "--lost", "3"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("bench: phase 'masked': 3 ")
    assert err.count("\n") == 1


def test_more_lost_than_there_are_is_one_line(capsys):
    assert main(["rounds", "--protocol", "ckks", "--clients", "6", "--dim", "10", "--lost", "4"]) == 2
    assert "4 clients cannot be lost: 3 hold no key" in capsys.readouterr().err


def test_peers_without_flower_say_what_installs_it(monkeypatch, capsys):
    monkeypatch.setattr("bench.peers.find_spec", lambda name: None)
    assert main(["peers", "--quick"]) == 2
    assert "`make bench`" in capsys.readouterr().err


def test_the_listing_has_every_command(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert "python -m bench" in text
    for name in (*SUITES, "report"):
        assert f"\n    {name} " in text
    assert {"load", "flower"} <= set(SUITES)
    for suite in SUITES.values():
        assert importlib.util.find_spec(suite.jobs.partition(":")[0]) is not None
