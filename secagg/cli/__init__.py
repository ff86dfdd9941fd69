"""The command `secagg`. Needs `secagg[cli]`; `secagg fedavg` needs `secagg[fedavg]` too."""

from secagg.cli.extras import needs


def main() -> None:
    """Run the command line and leave with its exit code: 0, 1 (it failed) or 2 (it was told nonsense)."""
    with needs("cli"):
        from secagg.cli.app import app  # noqa: PLC0415  # typer may be missing, and then one line says so

        app()
