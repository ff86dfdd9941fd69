"""A library of an optional extra that is not installed ends the command in one line that names the cure.

Needs nothing that is not in the standard library: what is missing may be the command line's own library.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

FAILED = 1
"""Exit code of a command that did its work and has nothing good to say, or could not finish it."""
BAD_INPUT = 2
"""Exit code of a command that cannot run as it was told."""
STOPPED = 130
"""What a shell expects after Ctrl-C."""

LIBRARIES = {
    "cli": frozenset({"typer", "click", "rich"}),
    "fedavg": frozenset({"sklearn", "pandas", "matplotlib", "jinja2", "markupsafe"}),
}
"""{extra: what it installs, by import name}."""


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Within it, a missing library of `extra` exits with `BAD_INPUT` and says how to install it."""
    try:
        yield
    except ModuleNotFoundError as missing:
        name = (missing.name or "").partition(".")[0]
        if name not in LIBRARIES[extra]:
            raise
        sys.stderr.write(f"secagg: this command needs {name}; install it with: pip install 'secagg[{extra}]'\n")
        sys.exit(BAD_INPUT)
