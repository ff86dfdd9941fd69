"""The command `secagg`. Needs `secagg[cli]`; `secagg fedavg` needs `secagg[fedavg]` too."""

import sys

_EXTRA = {"typer", "click", "rich"}


def main() -> None:
    """Run the command line and leave with its exit code: 0, 1 (it failed) or 2 (it was told nonsense)."""
    try:
        from secagg.cli.app import app  # noqa: PLC0415  # typer may be missing, and then one line says so

        app()
    except ModuleNotFoundError as missing:
        name = (missing.name or "").partition(".")[0]
        if name not in _EXTRA:
            raise
        sys.stderr.write(f"secagg: the command line needs {name}; install it with: pip install 'secagg[cli]'\n")
        sys.exit(2)
