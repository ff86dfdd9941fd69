"""Where the commands write: a terminal gets colour and movement, a pipe plain lines."""

import sys
from textwrap import fill

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 100
_WIDE = 96


def console() -> Console:
    """Standard output. Without a terminal there are no control characters, whatever the environment says."""
    terminal = sys.stdout.isatty()
    return Console(
        force_terminal=terminal,
        width=None if terminal else _PIPE_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not terminal,
    )


def narrow(out: Console) -> bool:
    """Whether `out` is a terminal in which a line of this program does not fit."""
    return out.is_terminal and out.width < _WIDE


def table(out: Console, title: str, *columns: str, words: int = 1) -> Table:
    """A calm table: the first `words` columns hold words, the others numbers, which never break."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    if narrow(out):
        made.padding = (0, 0)
    for place, name in enumerate(columns):
        if place < words:
            made.add_column(Text(name), overflow="fold")
        else:
            heading = name.replace(" ", "\n") if narrow(out) else name
            made.add_column(Text(heading), justify="right", vertical="bottom", no_wrap=True)
    return made


def show_table(out: Console, table: Table) -> None:
    """Print a table; elsewhere than in a terminal without the blanks that fill its lines."""
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as drawn:
        out.print(table)
    for line in drawn.get().splitlines():
        out.print(line.rstrip())


def show_sentence(out: Console, sentence: str) -> None:
    """Print a sentence, wrapped between words to the width of `out`."""
    out.print(fill(sentence, width=min(out.width, _PIPE_WIDTH)))


def print_json(document: bytes) -> None:
    """One JSON document on standard output, and nothing else; in UTF-8 (RFC 8259, 8.1) whatever the locale says."""
    click.echo(document)
