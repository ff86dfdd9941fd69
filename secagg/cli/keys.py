"""`secagg keys`: a private key file for each party, and one roster of public keys for all."""

import os
import re
import stat
import warnings
from collections.abc import Sequence
from getpass import GetPassWarning
from pathlib import Path

import click
import typer
from rich.text import Text

from secagg.cli import screen
from secagg.errors import ConfigError, PartyId, StateError, WireError
from secagg.primitives import keyfile, signing
from secagg.primitives.entropy import Entropy
from secagg.scheme import Credentials, Roster
from secagg.scheme.session import check_party_id

MIN_PASSPHRASE = 12
"""Bytes of the shortest passphrase that a new key gets: whoever has the file can try guesses at leisure."""

_PUBLIC_KEY = re.compile(rf"[0-9a-fA-F]{{{2 * signing.KEY_BYTES}}}")
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]*")


def make(party: str, out: Path, passphrase_file: Path | None, entropy: Entropy = os.urandom) -> None:
    """Write a fresh private key to `out` and print `party=public key`, as `write_roster` takes it.

    Raises:
        ConfigError: a bad id, a short passphrase, or a file that exists or cannot be written.
    """
    _check_printable(party)
    if out.exists():
        raise ConfigError(f"{out}: exists, and a key is never overwritten")
    passphrase = _passphrase(passphrase_file, twice=True)
    if len(passphrase) < MIN_PASSPHRASE:
        raise ConfigError(f"passphrase of {len(passphrase)} bytes: expected at least {MIN_PASSPHRASE}")
    private = signing.generate(entropy)
    keyfile.create(out, signing.save_private(private, passphrase))
    typer.echo(f"{party}={signing.public_key(private).hex()}")


def show(file: Path, passphrase_file: Path | None) -> None:
    """Print the public key that belongs to a private key file.

    Raises:
        ConfigError: the file does not open.
    """
    typer.echo(signing.public_key(_private(file, passphrase_file)).hex())


def write_roster(entries: Sequence[str], out: Path, *, text_ids: bool) -> None:
    """Write the roster file of `PARTY=PUBLICKEY` or `PARTY=FILE` entries, and print its digest.

    A party that reads as a whole number is one, unless `text_ids`.

    Raises:
        ConfigError: an entry of another form, a party or a key that stands twice, or a file that exists.
    """
    keys: dict[PartyId, bytes] = {}
    for entry in entries:
        name, key = _entry(entry)
        party: PartyId = int(name) if _WHOLE_NUMBER.fullmatch(name) and not text_ids else name
        if party in keys:
            raise ConfigError(f"party {party!r} stands twice among the entries")
        keys[party] = key
    roster = Roster(keys)
    keyfile.create(out, roster.to_bytes(), 0o644)
    typer.echo(_spoken(roster.digest))


def check(path: Path, party: str | None, key: Path | None, passphrase_file: Path | None) -> None:
    """Print who is on a roster and its digest, and whether the private key in `key` is the one it has for `party`.

    Raises:
        ConfigError: the file is no roster, the party is not on it, or the key is another one.
    """
    if (party is None) != (key is None):
        raise ConfigError("--party and --key belong together: whose key is looked at, and where it lies")
    try:
        roster = Roster.from_bytes(_read(path))
    except WireError as error:
        raise ConfigError(f"{path}: {error}") from None
    _print_roster(roster)
    if party is not None and key is not None:
        found = _named(roster, party)
        Credentials(_private(key, passphrase_file), roster).check_identity(found)
        typer.echo(f"{key}: the key that the roster has for party {found!r}")


def _print_roster(roster: Roster) -> None:
    out = screen.console()
    parties = screen.table(out, f"{len(roster.parties)} parties", "party", "public key", words=2)
    for party in roster.parties:
        parties.add_row(Text(repr(party)), roster.key(party).hex())
    screen.show_table(out, parties)
    out.print("digest, equal wherever the roster is the same; compare it by telephone:")
    out.print(_spoken(roster.digest))


def _spoken(digest: bytes) -> str:
    """Hexadecimal in groups of four."""
    return digest.hex(" ", 2)


def _named(roster: Roster, name: str) -> PartyId:
    """The party that is written like this, be its id a number or a text."""
    found = [party for party in roster.parties if str(party) == name]
    if len(found) != 1:
        raise ConfigError(f"party {name!r} stands {'twice' if found else 'nowhere'} on the roster, expected once")
    return found[0]


def _entry(entry: str) -> tuple[str, bytes]:
    """(party, public key) of `PARTY=PUBLICKEY`, or of `PARTY=FILE` with a file that `keys make` or `show` printed."""
    party, _, value = entry.rpartition("=")
    if not party:
        raise ConfigError(f"entry {entry!r}: expected PARTY=PUBLICKEY or PARTY=FILE")
    _check_printable(party)
    if not _PUBLIC_KEY.fullmatch(value):
        value = _public_key_in(Path(value), party)
    return party, bytes.fromhex(value)


def _public_key_in(file: Path, party: str) -> str:
    text = _read(file).decode("utf-8", "replace").strip().removeprefix(f"{party}=")
    other, _, key = text.rpartition("=")
    if other and _PUBLIC_KEY.fullmatch(key):
        raise ConfigError(f"{file}: the public key of party {other!r}, expected that of {party!r}")
    if not _PUBLIC_KEY.fullmatch(text):
        raise ConfigError(
            f"{file}: expected the public key of party {party!r} in hexadecimal, as `secagg keys show` prints it"
        )
    return text


def _check_printable(party: str) -> None:
    check_party_id(party)
    if not party.isprintable():
        raise ConfigError(f"party id {party!r} holds characters that cannot be printed")


def _private(file: Path, passphrase_file: Path | None) -> bytes:
    """The private key in a file; it stays in this process."""
    _warn_if_shared(file)
    pem = _read(file)
    try:
        return signing.load_private(pem, _passphrase(passphrase_file, twice=False))
    except StateError as error:
        raise ConfigError(f"{file}: {error}") from None


def _passphrase(file: Path | None, *, twice: bool) -> bytes:
    """From a file, without the end of its line, or asked for without an echo."""
    if file is not None:
        _warn_if_shared(file)
        return _read(file).removesuffix(b"\n").removesuffix(b"\r")
    again = "the same passphrase again" if twice else False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", GetPassWarning)  # no terminal: it would be read, and perhaps echoed
            text: str = typer.prompt("passphrase", hide_input=True, confirmation_prompt=again, err=True)
    except (click.Abort, GetPassWarning):
        raise ConfigError("no passphrase was given: type one in a terminal, or use --passphrase-file") from None
    return text.encode("utf-8", "surrogateescape")


def _warn_if_shared(file: Path) -> None:
    """One line on standard error where others may read the file."""
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return  # reading it will say why
    if os.name == "posix" and mode & 0o077:
        typer.echo(f"secagg: warning: {file} is open to others (mode {mode:04o}), expected 0600", err=True)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
