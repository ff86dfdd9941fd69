"""Where the commands write: a terminal gets colour and movement, a pipe plain lines."""

import sys

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 100


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


def table(title: str, *columns: str, words: int = 1) -> Table:
    """A calm table: the first `words` columns hold words, the others numbers."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(columns):
        made.add_column(Text(name), justify="left" if place < words else "right", overflow="fold")
    return made


def print_json(document: bytes) -> None:
    """One JSON document on standard output, and nothing else."""
    sys.stdout.write(document.decode() + "\n")
