"""What a site takes part in: its own file, which no job can change."""

from pathlib import Path

import msgspec

from secagg.errors import ConfigError
from secagg.federation.choice import AllowedSchemes
from secagg.federation.client import Limits, Unusable
from secagg.primitives import signing
from secagg.scheme import Credentials, Policy, Roster
from secagg.scheme.policy import CLIPS

FILE = "secagg.json"
"""In the site's `local` folder."""
PROTOCOLS = ("secagg", "secagg+")
"""What a server may choose from where the file does not say; the others ask for more trust in it."""


class _Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    passphrase: str
    roster: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    min_cohort: int = 3
    min_threshold: int = 2
    max_dim: int = 2**28
    clip: tuple[float, float] | dict[str, tuple[float, float]] = CLIPS
    bits: tuple[int, int] = (2, 32)
    weights: tuple[int, int] | None = None
    unusable: Unusable = "zero"
    saturation: float = 0.25
    protocols: tuple[str, ...] = PROTOCOLS
    identity: _Identity | None = None
    assumptions: dict[str, float] = {}
    store: str | None = None
    validate: bool | None = None


def read_limits(folder: Path, name: str) -> Limits:
    """The limits in `folder`'s file, the defaults where there is none.

    The file is a JSON object: {"min_cohort": 3, "min_threshold": 2, "max_dim": 268435456, "clip": [0.0001, 10000],
    "bits": [2, 32], "weights": [LEAST, MOST], "unusable": "zero", "saturation": 0.25, "protocols": ["secagg",
    "secagg+"], "identity": {"key": FILE, "passphrase": FILE, "roster": FILE}, "store": FILE, "assumptions": {"corrupt":
    0.05, "sigma": 40}, "validate": false}, all optional; the files that it names lie in the same folder. Raises
    ConfigError, or StateError for a key that does not open.
    """
    file = _read(folder, name)
    credentials = None if file.identity is None else _credentials(folder, file.identity, name)
    policy = Policy(
        min_cohort=file.min_cohort,
        max_dim=file.max_dim,
        min_threshold=file.min_threshold,
        clip=file.clip,
        bits=file.bits,
        weights=file.weights,
    )
    schemes = AllowedSchemes(frozenset(file.protocols), None, credentials is not None, file.assumptions)
    return Limits(policy, schemes, credentials, unusable=file.unusable, saturation=file.saturation)


def store_of(folder: Path, name: str) -> Path | None:
    """Where this site keeps what it has entered and helped to open, from job to job; None where the file says nothing.

    Raises ConfigError.
    """
    store = _read(folder, name).store
    return None if store is None else folder / store


def validates(folder: Path, name: str) -> bool:
    """Whether this site answers `validate`, whose numbers leave it in clear: with an identity only if its file says so.

    Raises ConfigError.
    """
    file = _read(folder, name)
    return file.identity is None if file.validate is None else file.validate


def _read(folder: Path, name: str) -> _File:
    path = folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File) if path.exists() else _File()
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{FILE} of site {name!r}: {error}") from None


def read_roster(path: Path) -> Roster:
    """The roster in a file. Raises ConfigError."""
    try:
        return Roster.from_bytes(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"roster: {error}") from None


def _credentials(folder: Path, files: _Identity, name: str) -> Credentials:
    try:
        key, passphrase = (folder / files.key).read_bytes(), (folder / files.passphrase).read_bytes()
    except OSError as error:
        raise ConfigError(f"identity of site {name!r}: {error}") from None
    credentials = Credentials(signing.load_private(key, passphrase.rstrip(b"\r\n")), read_roster(folder / files.roster))
    credentials.check_identity(name)
    return credentials
