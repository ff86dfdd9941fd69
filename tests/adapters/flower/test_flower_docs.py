"""What the page shows runs, and the two changed lines are those of the example."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "flower.md"
EXAMPLE = ROOT / "docs" / "examples" / "flower-hospitals"


def test_the_pages_blocks_run_in_order():
    blocks = re.findall(r"^```py\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    namespace = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), namespace)


def test_the_readmes_diff_is_the_examples_code():
    diff = re.search(r"^```diff\n(.*?)^```", (EXAMPLE / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    files = re.split(r"^--- a/.*\n\+\+\+ b/(.*)\n", diff[1], flags=re.MULTILINE)[1:]
    for name, changes in zip(files[::2], files[1::2], strict=True):
        source = (EXAMPLE / name).read_text("utf-8").splitlines()
        added = [line[1:] for line in changes.splitlines() if line.startswith("+")]
        assert len(added) == 2
        assert set(added) <= set(source)
