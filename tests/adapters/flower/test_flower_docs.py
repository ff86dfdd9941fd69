"""What the page shows runs, and the example is a plain app with the changes that its README shows."""

import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from shutil import copytree, ignore_patterns

import numpy as np
import pytest
from federation import RUN, SERVER, MemoryGrid, grid_of, model_record
from flwr.app import Context, MessageType, RecordDict
from flwr.common.serde import recorddict_to_proto
from flwr.serverapp.strategy import FedAvg

from secagg import Credentials
from secagg.adapters.flower import SecureAggregation, envelope
from secagg.errors import ConfigError
from secagg.primitives import signing
from secagg.testing import SeededEntropy

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "flower.md"
EXAMPLE = ROOT / "docs" / "examples" / "flower-hospitals"


@pytest.fixture
def page(tmp_path, monkeypatch):
    """What the page's blocks define, run in order where the files lie that they read; and the nodes' folder."""
    blocks = re.findall(r"^```py\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names = list(map(str, grid_of(4).apps))
    for name, mine in Credentials.generate(names, SeededEntropy("page")).items():
        (tmp_path / f"{name}.pem").write_bytes(signing.save_private(mine.identity, b"six words drawn with dice"))
        (tmp_path / "roster.json").write_bytes(mine.roster.to_bytes())
    (tmp_path / "passphrase").write_bytes(b"six words drawn with dice\n")
    namespace = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), namespace)
    return namespace, {"identity-folder": str(tmp_path), "secagg-weights": "20,400"}


def test_the_pages_active_clients_and_server_run_a_round(page):
    namespace, node_config = page
    grid = grid_of(4, mods=namespace["app"]._mods, node_config=node_config)
    strategy = namespace["strategy"]
    strategy.start(grid, model_record(), num_rounds=2)
    assert "consistency" in {phase for phase, _ in grid.trips}
    assert [outcome.failure for outcome in strategy.outcomes.values()] == [None] * 2
    assert [len(outcome.contributors) for outcome in strategy.outcomes.values()] == [4] * 2


def test_the_pages_credentials_are_the_nodes_own(page, tmp_path):
    namespace, node_config = page
    one, other = list(grid_of(2).apps)
    (tmp_path / f"{one}.pem").write_bytes((tmp_path / f"{other}.pem").read_bytes())
    with pytest.raises(ConfigError):
        namespace["credentials"](Context(RUN, one, node_config, RecordDict(), {}))


def test_the_pages_sizes_are_those_of_the_records():
    model = {"w": np.zeros(100_000, np.float32)}
    plain, secure = grid_of(20, mods=()), grid_of(20)
    FedAvg(fraction_evaluate=0.0).start(plain, model_record(model), num_rounds=1)
    strategy = SecureAggregation(FedAvg(fraction_evaluate=0.0), weight_max=500)
    strategy.start(secure, model_record(model), num_rounds=3)
    (ordinary,) = sizes(plain)
    keys, *first = sizes(secure)
    shares, masked, unmask = first[3:6]
    assert strategy.outcomes[2].failure is None
    rows = {
        "plain FedAvg": ordinary,
        "keys, in the first round": keys,
        "shares": shares,
        "masked (the training)": masked,
        "unmask, with keys for the next round": unmask,
    }
    for trip, (receives, sends) in rows.items():
        assert f"| {trip} | {receives:,} | {sends:,} |" in PAGE.read_text("utf-8")


def sizes(grid):
    """[(bytes a node receives, bytes it sends)], one for each trip."""
    node = next(iter(grid.apps))
    sent = [recorddict_to_proto(m.content).ByteSize() for m in grid.sent if m.metadata.dst_node_id == node]
    back = [recorddict_to_proto(m.content).ByteSize() for m in grid.replies if m.metadata.src_node_id == node]
    return list(zip(sent, back, strict=True))


def hunks():
    """(file, lines before, lines after) of each hunk of the README's diff."""
    diff = re.search(r"^```diff\n(.*?)^```", (EXAMPLE / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    files = re.split(r"^--- a/.*\n\+\+\+ b/(.*)\n", diff[1], flags=re.MULTILINE)[1:]
    for name, changes in zip(files[::2], files[1::2], strict=True):
        for hunk in changes.split("@@\n")[1:]:
            lines = hunk.splitlines(keepends=True)
            before, after = ("".join(line[1:] for line in lines if line[0] == sign) for sign in "-+")
            yield name, before, after


@pytest.fixture
def plain(tmp_path):
    """The app as it was before the README's diff."""
    folder = copytree(EXAMPLE, tmp_path / "plain", ignore=ignore_patterns("__pycache__"))
    for name, before, after in hunks():
        source = (folder / name).read_text("utf-8")
        assert source.count(f"\n{after}") == 1, (name, after)
        (folder / name).write_text(source.replace(f"\n{after}", f"\n{before}"))
    return folder


@pytest.fixture
def run(monkeypatch, capsys):
    """A function that runs an app among five hospitals: the grid, and the scores of each round that it prints."""

    def run(folder):
        for name in [name for name in sys.modules if name.partition(".")[0] == "hospitals"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        client, server = (import_module(f"hospitals.{end}_app").app for end in ("client", "server"))
        config = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["tool"]["flwr"]["app"]["config"]
        grid = MemoryGrid(dict.fromkeys(range(2**63, 2**63 + 5), client), run_config=config)
        server(grid, Context(RUN, SERVER, {}, RecordDict(), config))
        scores = re.findall(r"accuracy ([\d.]+), auc ([\d.]+)", capsys.readouterr().out)
        return grid, np.array(scores, float)

    yield run
    for name in [name for name in sys.modules if name.partition(".")[0] == "hospitals"]:
        del sys.modules[name]


def test_a_plain_app_becomes_the_example_by_the_lines_of_the_readme(plain):
    added = "".join(after for *_, after in hunks()).splitlines()
    assert len([line for line in added if not re.match(r"from |    \"", line)]) == 2
    assert len(added) == 5
    for path in plain.rglob("hospitals/*.py"):
        assert "secagg" not in path.read_text("utf-8")
    assert "secagg[" not in (plain / "pyproject.toml").read_text("utf-8")


def test_the_plain_app_runs_and_learns_the_same(plain, run):
    _, wanted = run(plain)
    _, found = run(EXAMPLE)
    assert found.shape == (5, 2)
    assert np.abs(found - wanted).max() <= 0.001 + 1e-9  # they are printed with three digits
    assert found[1:].min() > 0.95


def test_the_server_sees_no_hospitals_model_count_or_score(run):
    grid, _ = run(EXAMPLE)
    assert {message.metadata.message_type for message in grid.sent} == {MessageType.TRAIN}
    assert len(grid.replies) == 5 * (4 + 4 * 3)
    for reply in grid.replies:
        assert set(reply.content) == {envelope.HEADER, envelope.FRAMES}
        assert set(reply.content[envelope.HEADER]) == {"version", "phase"}
        assert set(reply.content[envelope.FRAMES]) <= {"reply", "prepared"}
