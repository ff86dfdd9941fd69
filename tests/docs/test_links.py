"""No page points at what is not there: files, headings, source files, functions, tests."""

import importlib
import re
from pathlib import Path

import pytest
from pages import PAGES, ROOT, anchors, links, name, prose

BASES = (ROOT, ROOT / "secagg", ROOT / "protocols" / "secagg_protocols")
_SOURCE = re.compile(r"`((?:\w+/)+\w+\.py)((?:::\w+)*)`")
_NAMED = re.compile(r"`((?:\w+/)+\w+\.py)` `([\w.]+)`")


def source(path: str) -> Path | None:
    """Where a path that a page names lies: from the root, from secagg/ or from protocols/secagg_protocols/."""
    return next((base / path for base in BASES if (base / path).is_file()), None)


def module_name(path: Path) -> str:
    base = ROOT / "protocols" if ROOT / "protocols" in path.parents else ROOT
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_relative_links_resolve(page):
    for target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{name(page)} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{name(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_named_files_exist(page):
    for path, tests in _SOURCE.findall(prose(page)):
        found = source(path)
        assert found is not None, f"{name(page)} names {path}"
        for test in tests.split("::")[1:]:
            assert re.search(rf"def {test}\(|class {test}\b", found.read_text("utf-8")), f"{name(page)}: {path}::{test}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_named_functions_exist(page):
    for path, dotted in _NAMED.findall(prose(page)):
        found = source(path)
        assert found is not None, f"{name(page)} names {path}"
        here: object = importlib.import_module(module_name(found))
        for part in dotted.split("."):
            assert hasattr(here, part), f"{name(page)} names {dotted} in {path}"
            here = getattr(here, part)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_hold_no_path_of_a_machine(page):
    text = page.read_text("utf-8")
    assert not re.search(r"/(home|work|tmp|root|Users)/", text)
    assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith(("|", "![")))
