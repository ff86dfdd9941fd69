"""The command `secagg`. Needs `secagg[cli]`; `secagg fedavg` needs `secagg[fedavg]` too."""

import errno
import io
import os
import sys
from typing import NoReturn

from secagg.cli.extras import FAILED, STOPPED, needs


def main() -> None:
    """Run the command line and leave with its exit code: 0, 1 (it failed), 2 (it was told nonsense) or 130 (Ctrl-C)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal of few letters shows "?" for the others
    try:
        with needs("cli"):
            from secagg.cli.app import app  # noqa: PLC0415  # typer may be missing, and then one line says so

            app()
    except KeyboardInterrupt:  # before the commands are there to catch it
        _leave("stopped", STOPPED)
    except OSError as problem:
        _discard_output()
        if problem.errno == errno.EPIPE:  # who read the output has gone: nobody to tell
            sys.exit(FAILED)
        _leave(f"{problem.filename or 'standard output'}: {problem.strerror or problem}", FAILED)


def _discard_output() -> None:
    """What is still buffered goes nowhere: the interpreter would try to write it again, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _leave(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"secagg: {message}\n")
    sys.exit(code)
