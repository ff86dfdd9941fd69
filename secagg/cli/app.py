"""The commands and their options. What they do is imported when they run, so that `--help` stays quick."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from secagg.cli import scratch
from secagg.cli.extras import FAILED, needs
from secagg.cli.group import Commands
from secagg.cli.options import from_fields
from secagg.cli.protocol import Protocol
from secagg.cli.wanted import Wanted
from secagg.fedavg.settings import Settings

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def _folder(path: str) -> Path:
    """An empty text would be the current folder: the page would land wherever one stands."""
    if not path:
        raise typer.BadParameter("is empty: expected a folder, '.' for the current one")
    return Path(path)


@app.callback(invoke_without_command=True)
def secagg(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Secure aggregation: a server learns the sum of its clients' vectors and nothing else."""
    if show_version:
        typer.echo(f"secagg {version('secagg')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
@from_fields("Secure sums", "Patients", "Learning")
def fedavg(
    protocol: Protocol,
    settings: Settings,
    report: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel="Output",
            parser=_folder,
            metavar="PATH",
            help="Write index.html and run.json into this folder.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", rich_help_panel="Output", help="Print one JSON document and nothing else."),
    ] = False,
) -> None:
    """Hospitals train one model together by FedAvg over secure sums, and some go silent on the way."""
    with needs("fedavg"):
        scratch.provide_plot_folder()
        from secagg.cli import training  # noqa: PLC0415  # imports scikit-learn, pandas and matplotlib
    training.fedavg(settings, protocol, report, as_json=as_json)


@app.command()
@from_fields()
def plan(wanted: Wanted, as_json: AsJson = False) -> None:
    """How many neighbours and shares SecAgg+ needs for N clients, the odds that it fails, and its bytes."""
    from secagg.cli import planning  # noqa: PLC0415  # imports scipy and numba

    found = planning.answer(wanted)
    planning.show(found, as_json=as_json)
    if not found.met:
        raise typer.Exit(FAILED)


@app.command()
def check(as_json: AsJson = False) -> None:
    """Which versions, CPU features and kernels are at work, and whether the primitives compute what they should."""
    from secagg.cli import checkup  # noqa: PLC0415  # imports the engine

    found = checkup.look()
    checkup.show(found, as_json=as_json)
    if not found.ok:
        raise typer.Exit(FAILED)


keys = typer.Typer()
app.add_typer(keys, name="keys")

PassphraseFile = Annotated[
    Path | None, typer.Option(help="Read the passphrase from this file instead of asking for it.")
]


@keys.callback(invoke_without_command=True)
def identities(context: typer.Context) -> None:
    """The signing keys with which parties tell each other apart from a server that lies."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@keys.command("make")
def make_key(
    party: Annotated[str, typer.Argument(metavar="PARTY", help="Whose key it is.")],
    out: Annotated[Path, typer.Option(help="Where the private key goes; a new file.")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make a private key, encrypted under a passphrase, and print PARTY=PUBLICKEY for the roster."""
    from secagg.cli import keys as work  # noqa: PLC0415  # imports the engine

    work.make(party, out, passphrase_file)


@keys.command("show")
def show_key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A private key file.")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Print the public key that belongs to a private key file."""
    from secagg.cli import keys as work  # noqa: PLC0415  # imports the engine

    work.show(file, passphrase_file)


@keys.command("roster")
def make_roster(
    entries: Annotated[
        list[str],
        typer.Argument(metavar="PARTY=PUBLICKEY|FILE...", help="Each party's public key, or a file that holds it."),
    ],
    out: Annotated[Path, typer.Option(help="Where the roster goes; a new file.")],
    text_ids: Annotated[
        bool, typer.Option("--text-ids", help="Take ids as text, even those that read as whole numbers.")
    ] = False,
) -> None:
    """Write the list of all parties' public keys, which every party needs, and print its digest."""
    from secagg.cli import keys as work  # noqa: PLC0415  # imports the engine

    work.write_roster(entries, out, text_ids=text_ids)


@keys.command("check")
def check_roster(
    roster: Annotated[Path, typer.Argument(metavar="ROSTER", help="A roster file.")],
    party: Annotated[str | None, typer.Option(help="Whose private key to look at.")] = None,
    key: Annotated[Path | None, typer.Option(help="That party's private key file.")] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Print who is on a roster and its digest, and whether a private key is the one it names."""
    from secagg.cli import keys as work  # noqa: PLC0415  # imports the engine

    work.check(roster, party, key, passphrase_file)
