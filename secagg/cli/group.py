"""How the command ends: every error is one line on stderr and an exit code, never a traceback."""

import sys
from collections.abc import Sequence
from typing import Any

import click
from typer.core import TyperGroup

from secagg.cli.extras import BAD_INPUT, FAILED, STOPPED
from secagg.errors import ConfigError, InputError, SecaggError


class Commands(TyperGroup):
    """The commands, with one place where their errors end."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: ARG002  # click's own parameter; this one always exits
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run and exit.

        A `SecaggError` exits with 1, or with 2 where the input is at fault, as a wrong option does.
        """
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except (ConfigError, InputError) as error:
            code = _say(str(error), BAD_INPUT)
        except SecaggError as error:
            code = _say(str(error), FAILED)
        except click.UsageError as error:
            code = _say(f"{error.format_message().rstrip('.')}. {_hint(error)}", error.exit_code)
        except click.ClickException as error:
            code = _say(error.format_message(), error.exit_code)
        sys.exit(_say("stopped", STOPPED) if code == STOPPED else code or 0)


def _hint(error: click.UsageError) -> str:
    """Where the options of the command stand that was called wrongly."""
    return f"Try '{error.ctx.command_path if error.ctx else 'secagg'} --help'."


def _say(message: str, code: int) -> int:
    """One printable line on stderr, whatever a file's names hold."""
    line = " ".join(message.split())
    click.echo(f"secagg: {''.join(c if c.isprintable() else '?' for c in line)}", err=True)
    return code
