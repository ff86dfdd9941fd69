"""What the page shows runs, and the example is a plain app with the changes that its README shows."""

import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from shutil import copytree, ignore_patterns

import numpy as np
import pytest
from federation import RUN, SERVER, MemoryGrid
from flwr.app import Context, MessageType, RecordDict

from secagg.adapters.flower import envelope

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "flower.md"
EXAMPLE = ROOT / "docs" / "examples" / "flower-hospitals"


def test_the_pages_blocks_run_in_order():
    blocks = re.findall(r"^```py\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    namespace = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), namespace)


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
