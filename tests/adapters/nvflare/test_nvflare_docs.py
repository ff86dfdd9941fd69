"""What the page shows runs, and the two changed lines are those of the example."""

import json
import re
from pathlib import Path

from secagg.adapters.nvflare import secure_aggregation
from secagg.adapters.nvflare.site import FILE, Site

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "nvflare.md"
EXAMPLE = ROOT / "docs" / "examples" / "nvflare-hospitals"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_pages_blocks_run():
    (block,) = blocks("py")
    namespace = {}
    exec(compile(block, PAGE.name, "exec"), namespace)
    assert namespace["job"]._deploy_map


def test_the_pages_files_are_read(tmp_path):
    site, privacy = blocks("json")
    (tmp_path / FILE).write_text(site)
    policy, file = Site(tmp_path, "site-1")._read()
    assert (policy.min_cohort, file.store) == (5, "secagg.ledger")
    (scope,) = json.loads(privacy)["scopes"]
    for each in scope["task_data_filters"] + scope["task_result_filters"]:
        module, _, name = each["path"].rpartition(".")
        assert hasattr(__import__(module, fromlist=[name]), name)


def test_the_pages_diff_is_code():
    (diff,) = blocks("diff")
    added = [line[1:] for line in diff.splitlines() if line.startswith("+")]
    assert len(added) == 2
    called = []
    namespace = {"secure_aggregation": lambda *args, **how: called.append(how), "recipe": None}
    exec(added[1], namespace)
    assert called == [{"weight_max": 500, "clip": 4.0}]
    assert secure_aggregation.__kwdefaults__["poll"] == 0.5


def test_the_readmes_diff_is_the_examples_code():
    diff = re.search(r"^```diff\n(.*?)^```", (EXAMPLE / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    source = (EXAMPLE / "job.py").read_text("utf-8").splitlines()
    added = [line[1:] for line in diff[1].splitlines() if line.startswith("+") and not line.startswith("+++")]
    assert len(added) == 2
    assert set(added) <= set(source)
