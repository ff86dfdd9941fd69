"""What the page shows runs, and the two changed lines are those of the example."""

import re
from pathlib import Path

import numpy as np
import pytest
from federation import RUN, grid_of, model_record
from flwr.app import Context, RecordDict
from flwr.common.serde import recorddict_to_proto
from flwr.serverapp.strategy import FedAvg

from secagg import Credentials
from secagg.adapters.flower import SecureAggregation
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
    return namespace, {"identity-folder": str(tmp_path)}


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


def test_the_readmes_diff_is_the_examples_code():
    diff = re.search(r"^```diff\n(.*?)^```", (EXAMPLE / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    files = re.split(r"^--- a/.*\n\+\+\+ b/(.*)\n", diff[1], flags=re.MULTILINE)[1:]
    for name, changes in zip(files[::2], files[1::2], strict=True):
        source = (EXAMPLE / name).read_text("utf-8").splitlines()
        added = [line[1:] for line in changes.splitlines() if line.startswith("+")]
        assert len(added) == 2
        assert set(added) <= set(source)
