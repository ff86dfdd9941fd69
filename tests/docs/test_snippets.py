"""Every python block of every page runs, and prints what the page says it prints."""

import pytest
from pages import PAGES, Block, blocks, name

SOURCES = [page for page in PAGES if any(block.language == "python" for block in blocks(page))]


def run(page: str, block: Block, namespace: dict[str, object]) -> None:
    # Blank lines in front, so that a traceback shows the page's own line numbers.
    exec(compile("\n" * (block.line - 1) + block.text, page, "exec"), namespace)


@pytest.mark.parametrize("page", SOURCES, ids=name)
def test_blocks_run_in_order_in_one_namespace(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "python":
            run(name(page), block, namespace)
            printed = capsys.readouterr().out
            assert printed == (block.prints or ""), f"{name(page)}:{block.line}"


@pytest.mark.parametrize("page", ["README.md", "docs/integrate.md", "docs/numbers.md", "docs/wire-format.md"])
def test_the_pages_that_promise_code_have_some(page):
    assert page in {name(source) for source in SOURCES}
