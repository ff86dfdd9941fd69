"""Every python block of every page runs, and prints what the page says it prints; so do the commands it shows."""

import re
import shlex
from pathlib import Path

import pytest
from pages import PAGES, Block, blocks, name
from typer.testing import CliRunner

from secagg.cli.app import app

RUN = ("python", "console")
SOURCES = [page for page in PAGES if any(block.language in RUN for block in blocks(page))]
PASSPHRASE = "six words that dice have drawn"
"""What the reader types wherever one is asked for."""


def run(page: str, block: Block, namespace: dict[str, object]) -> None:
    # Blank lines in front, so that a traceback shows the page's own line numbers.
    exec(compile("\n" * (block.line - 1) + block.text, page, "exec"), namespace)


def shown_by(command: str) -> str:
    """What a `secagg` command shows in a terminal; ` > FILE` at its end keeps standard output."""
    words, _, file = command.partition(" > ")
    program, *arguments = shlex.split(words)
    assert program == "secagg"
    result = CliRunner().invoke(app, arguments, input=f"{PASSPHRASE}\n" * 2)
    assert result.exit_code == 0, result.output
    if file:
        Path(file).write_text(result.stdout)
    return result.stderr if file else result.output


def converse(page: str, block: Block) -> None:
    """Type what stands after each `$`; the lines below it are what must appear, `...` standing for anything."""
    for typed in block.text.split("$ ")[1:]:
        command, _, expected = typed.partition("\n")
        pattern = re.escape(expected.strip()).replace(r"\.\.\.", ".+")
        found = "\n".join(line.rstrip() for line in shown_by(command).splitlines()).strip()
        assert re.fullmatch(pattern, found, re.DOTALL), f"{name(page)}:{block.line}: {command}: {found}"


@pytest.mark.parametrize("page", SOURCES, ids=name)
def test_blocks_run_in_order_in_one_namespace(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("getpass.getpass", lambda prompt: PASSPHRASE)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "console":
            converse(page, block)
        elif block.language == "python":
            run(name(page), block, namespace)
            printed = capsys.readouterr().out
            assert printed == (block.prints or ""), f"{name(page)}:{block.line}"


PROMISED = {
    "README.md": "python",
    "docs/identities.md": "console",
    "docs/integrate.md": "python",
    "docs/numbers.md": "python",
    "docs/wire-format.md": "python",
}


def test_the_complete_example_has_forty_lines():
    page = next(source for source in SOURCES if name(source) == "docs/integrate.md")
    example = next(block for block in blocks(page) if block.language == "python")
    assert "asyncio.run(" in example.text
    assert sum(bool(line.strip()) for line in example.text.splitlines()) <= 40


@pytest.mark.parametrize("page", PROMISED)
def test_the_pages_that_promise_code_have_some(page):
    found = {block.language for source in SOURCES if name(source) == page for block in blocks(source)}
    assert PROMISED[page] in found
