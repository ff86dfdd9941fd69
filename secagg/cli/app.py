"""The commands and their options. What they do is imported when they run, so that `--help` stays quick."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import click
import typer

from secagg.cli import scratch
from secagg.cli.extras import FAILED, needs
from secagg.cli.group import Commands

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


def _one_of(*names: str) -> click.Choice[str]:
    return click.Choice(names)


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


_PATIENTS, _SUMS, _LEARNING, _OUTPUT = "Patients", "Secure sums", "Learning", "Output"


@app.command()
def fedavg(
    protocol: Annotated[
        str,
        typer.Option(
            click_type=_one_of("secagg", "secagg+", "paillier", "ckks"),
            rich_help_panel=_SUMS,
            help="secagg: every pair of hospitals shares a mask; secagg+: each only with some neighbours; paillier: "
            "the server adds ciphertexts, and one hospital holds the key; ckks: the same, and all hold the key.",
        ),
    ] = "secagg",
    neighbours: Annotated[
        int | None,
        typer.Option(rich_help_panel=_SUMS, help="secagg+: neighbours of a hospital; planned where not given."),
    ] = None,
    threshold: Annotated[
        int | None,
        typer.Option(rich_help_panel=_SUMS, help="Shares that open a secret; derived where not given."),
    ] = None,
    adversary: Annotated[
        str | None,
        typer.Option(
            click_type=_one_of("passive", "active"),
            rich_help_panel=_SUMS,
            help="Whether the server only looks on or may lie too; passive where not given.",
        ),
    ] = None,
    clients: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=_PATIENTS, help="Hospitals, at least 3; by site as many as the column names, else 10."
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(rich_help_panel=_LEARNING, help="Rounds of training.")] = 20,
    dropout: Annotated[
        float,
        typer.Option(rich_help_panel=_SUMS, help="Odds that a hospital goes silent in a round, at any phase."),
    ] = 0.1,
    data: Annotated[
        str, typer.Option(rich_help_panel=_PATIENTS, help="breast-cancer, or a CSV file with a header.")
    ] = "breast-cancer",
    target: Annotated[
        str | None, typer.Option(rich_help_panel=_PATIENTS, help="The CSV's outcome column, with two values.")
    ] = None,
    site: Annotated[str | None, typer.Option(rich_help_panel=_PATIENTS, help="The CSV's column of hospitals.")] = None,
    record_id: Annotated[
        str | None,
        typer.Option(
            "--id",
            rich_help_panel=_PATIENTS,
            help="The CSV's column of ids: of a hospital's rows with the same id, the first is kept.",
        ),
    ] = None,
    drop_duplicates: Annotated[
        bool,
        typer.Option(
            "--drop-duplicates",
            rich_help_panel=_PATIENTS,
            help="Remove rows that equal an earlier one of their hospital in every column.",
        ),
    ] = False,
    drop: Annotated[
        list[str] | None, typer.Option(rich_help_panel=_PATIENTS, help="A column to leave out; may be repeated.")
    ] = None,
    partition: Annotated[
        str | None,
        typer.Option(
            click_type=_one_of("iid", "dirichlet", "uneven", "site"),
            rich_help_panel=_PATIENTS,
            help="How patients are spread over hospitals; site where --site is given, else iid.",
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(rich_help_panel=_PATIENTS, help="dirichlet: the smaller, the more skewed; 0.5 where not given."),
    ] = None,
    test_fraction: Annotated[
        float, typer.Option(rich_help_panel=_PATIENTS, help="Share of each hospital's patients held out.")
    ] = 0.25,
    model: Annotated[
        str,
        typer.Option(click_type=_one_of("logistic", "mlp"), rich_help_panel=_LEARNING, help="Which model learns."),
    ] = "logistic",
    hidden: Annotated[
        int | None, typer.Option(rich_help_panel=_LEARNING, help="mlp: width of the hidden layer; 16 where not given.")
    ] = None,
    fraction: Annotated[
        float, typer.Option(rich_help_panel=_LEARNING, help="Share of the hospitals asked in a round.")
    ] = 1.0,
    epochs: Annotated[
        int, typer.Option(rich_help_panel=_LEARNING, help="Passes over a hospital's patients in a round.")
    ] = 5,
    batch_size: Annotated[int, typer.Option(rich_help_panel=_LEARNING, help="Patients a gradient step.")] = 16,
    learning_rate: Annotated[float, typer.Option(rich_help_panel=_LEARNING, help="Step of SGD.")] = 0.2,
    l2: Annotated[float, typer.Option(rich_help_panel=_LEARNING, help="Weight of the L2 penalty.")] = 1e-3,
    bits: Annotated[int, typer.Option(rich_help_panel=_SUMS, help="Bits of one quantized parameter, 2..32.")] = 16,
    clip: Annotated[
        float, typer.Option(rich_help_panel=_SUMS, help="Largest change of one parameter in a round.")
    ] = 1.0,
    weight_max: Annotated[
        int, typer.Option(rich_help_panel=_SUMS, help="Public bound on one hospital's training patients.")
    ] = 1000,
    seed: Annotated[
        int, typer.Option(rich_help_panel=_LEARNING, help="Of partition, batches and dropout; never of keys.")
    ] = 0,
    report: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=_OUTPUT,
            parser=_folder,
            metavar="PATH",
            help="Write index.html and run.json into this folder.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", rich_help_panel=_OUTPUT, help="Print one JSON document and nothing else."),
    ] = False,
) -> None:
    """Hospitals train one model together by FedAvg over secure sums, and some go silent on the way."""
    with needs("fedavg"):
        scratch.provide_plot_folder()
        from secagg.cli import training  # noqa: PLC0415  # imports scikit-learn, pandas and matplotlib
    training.fedavg(
        {
            "clients": clients,
            "rounds": rounds,
            "dropout": dropout,
            "data": data,
            "target": target,
            "site": site,
            "record_id": record_id,
            "drop_duplicates": drop_duplicates,
            "drop": tuple(drop or ()),
            "partition": partition,
            "alpha": alpha,
            "test_fraction": test_fraction,
            "model": model,
            "hidden": hidden,
            "fraction": fraction,
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "l2": l2,
            "bits": bits,
            "clip": clip,
            "weight_max": weight_max,
            "seed": seed,
        },
        training.Protocol(protocol, {"neighbours": neighbours, "threshold": threshold, "adversary": adversary}),
        report,
        as_json=as_json,
    )


@app.command()
def plan(
    clients: Annotated[int, typer.Argument(metavar="N", help="Clients in the cohort.")],
    corrupt: Annotated[float, typer.Option(help="Rate of clients that tell the server all they know.")] = 0.05,
    dropout: Annotated[float, typer.Option(help="Rate of clients that go silent.")] = 0.05,
    sigma: Annotated[int, typer.Option(help="Security: fails with odds of at most 2^-sigma.")] = 40,
    eta: Annotated[int, typer.Option(help="Correctness: fails with odds of at most 2^-eta.")] = 30,
    adversary: Annotated[
        Literal["passive", "active"],
        typer.Option(click_type=_one_of("passive", "active"), help="Whether the server may lie, or only looks on."),
    ] = "passive",
    dim: Annotated[int, typer.Option(help="Entries of one update.")] = 100_000,
    bits: Annotated[int, typer.Option(help="Bits of one quantized entry, 1..32.")] = 16,
    as_json: AsJson = False,
) -> None:
    """How many neighbours and shares SecAgg+ needs for N clients, the odds that it fails, and its bytes."""
    from secagg.cli import planning, wanted  # noqa: PLC0415  # imports scipy and numba

    asked = wanted.Wanted(clients, corrupt, dropout, sigma, eta, adversary, dim, bits)
    found = planning.answer(asked)
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
