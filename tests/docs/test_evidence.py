"""Every section and row of README and of the adapters' pages has its evidence, and the names of README are there."""

import inspect
import re
import tomllib
from importlib import import_module

import pytest
from pages import PAGES, ROOT, name, prose, rows, tables

EVIDENCE = ROOT / "docs" / "evidence.md"
README = ROOT / "README.md"
COVERED = [page for page in PAGES if name(page) in ("README.md", "docs/flower.md", "docs/nvflare.md")]
REASONS = ("by design", "by Flower", "by NVFLARE", "measured by `", "a statement", "advice", "tried by hand")


def sections(text: str, level: str) -> dict[str, str]:
    """{heading: what stands below it, until the next one of that level}; a level is a pattern of number signs."""
    parts = re.split(rf"^(?:{level}) (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def table_sizes(text: str, caption: str = "") -> list[int]:
    """How many rows each table below such a caption has, without its head and the line of dashes."""
    return [len(table.splitlines()) - 2 for table in re.findall(rf"{caption}((?:^\|.*\n)+)", f"{text}\n", re.MULTILINE)]


def test_the_page_is_one_whose_tests_have_to_exist():
    assert EVIDENCE in PAGES  # of test_links.py too
    assert len(COVERED) == 3


def test_every_claim_names_a_test_or_says_why_not():
    found = [row for table in tables(EVIDENCE) for row in table[1:]]
    assert {tuple(table[0]) for table in tables(EVIDENCE)} == {("claim", "shown by")}
    for claim, shown in found:
        assert re.search(r"`tests/[\w/]+\.py::\w+`", shown) or shown.startswith(REASONS), claim


@pytest.mark.parametrize("page", COVERED, ids=name)
def test_every_section_and_every_row_of_a_table_has_its_evidence(page):
    """A table of the page has one of as many rows there; what the text says has others."""
    evidence = sections(sections(prose(EVIDENCE), "##")[name(page)], "###")
    claimed = sections(prose(page), "#+")
    assert list(evidence) == list(claimed)
    for heading, text in claimed.items():
        assert table_sizes(evidence[heading], r"^The table.*:\n\n") == table_sizes(text), heading
        assert table_sizes(evidence[heading]), heading


def there(dotted: str) -> object:
    """What a dotted name names, in a module or a package."""
    parts = dotted.split(".")
    found: object = import_module(parts[0])
    for at, part in enumerate(parts[1:], 2):
        if inspect.ismodule(found) and not hasattr(found, part):
            import_module(".".join(parts[:at]))
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("row", rows(README, "## Main names"), ids=lambda row: row[0][:40])
def test_every_main_name_is_there(row):
    """With the parameters that it is written with, and the members that are named beside it."""
    names = re.findall(r"`(secagg[\w.]*)(?:\(([^)]*)\))?`", row[0])
    assert names or row[0].startswith("`secagg ")
    for dotted, written in names:
        found = there(dotted)
        parameters = re.findall(r"(\w+)(?:=\w+)?", written)
        assert set(parameters) <= set(inspect.signature(found).parameters if written else ())
    if names and names[0][0] in ("secagg.Aggregate", "secagg.Session", "secagg.Coordinator", "secagg.Participant"):
        members = re.findall(r"`(\w+)`", row[1])
        assert len(members) > 2
        assert set(members) <= set(dir(there(names[0][0]))) | set(inspect.signature(there(names[0][0])).parameters)
    if names and names[0][0] in ("secagg.primitives", "secagg.federation"):
        for part in re.findall(r"`([\w.]+)`", row[1]):
            assert there(f"{names[0][0]}.{part}")


def test_extras_are_those_that_the_page_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    install = sections(prose(README), "##")["Install"]
    assert project["requires-python"] == ">=3.11"
    assert "Python 3.11 or newer" in install
    assert set(project["optional-dependencies"]) == set(re.findall(r"`(\w+)`", install))
    assert project["optional-dependencies"]["all"] == ["secagg[fedavg,cli,paillier,ckks]"]
