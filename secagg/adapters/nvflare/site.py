"""What a site takes part in: its own file, which no job can change."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from secagg.adapters.nvflare.model import WEIGHTED_BY
from secagg.arguments import hints
from secagg.errors import ConfigError
from secagg.federation.choice import AllowedSchemes
from secagg.federation.client import Limits, Share, Unusable
from secagg.primitives import signing
from secagg.scheme import Credentials, Draw, Policy, Roster
from secagg.scheme.policy import USUAL

FILE = "secagg.json"
"""In the site's `local` folder."""
PROTOCOLS = ("secagg", "secagg+")
"""What a server may choose from where the file does not say; the others ask for more trust in it."""


class _Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    passphrase: str
    roster: str


class _Draw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `Draw`, with its beacon in hexadecimal."""

    beacon: Annotated[str, Meta(pattern="^([0-9a-fA-F]{2})+$")]
    size: int
    rounds: int


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All fields of the file but those of a `Policy`."""

    unusable: Unusable = Limits.unusable
    saturation: Share = Limits.saturation
    metrics: dict[str, tuple[float, float]] = {}
    protocols: tuple[str, ...] = PROTOCOLS
    identity: _Identity | None = None
    draw: _Draw | None = None
    assumptions: dict[str, float] = {}
    store: str | None = None
    validate: bool | None = None


@dataclass(frozen=True)
class Site:
    """A site, and what its file says now: a JSON object, of which everything is optional.

    {"min_cohort": 3, "min_threshold": 2, "max_dim": 268435456, "clip": [0.0001, 10000], "bits": [2, 32],
    "weight_ratio": 100, "levels": 16, "weights": [LEAST, MOST], "unusable": "zero", "saturation": 0.25, "metrics":
    {NAME: [LEAST, MOST]}, "protocols": ["secagg", "secagg+"], "identity": {"key": FILE, "passphrase": FILE, "roster":
    FILE}, "draw": {"beacon": HEX, "size": n, "rounds": n}, "store": FILE, "assumptions": {"corrupt": 0.05, "sigma":
    40}, "validate": false}

    Attributes:
        folder: where the file lies, and the files that it names.
        name: of the site, and on its roster.

    All methods raise ConfigError for a file that says something else.
    """

    folder: Path
    name: str

    def limits(self) -> Limits:
        """Its limits, the defaults where there is no file. Raises StateError for a key that does not open, too."""
        policy, file = self._read()
        credentials = None if file.identity is None else self._credentials(file.identity, self._draw(file))
        if credentials is None and file.draw is not None:
            raise self._refused("a draw is held against an identity's roster, and it names no identity")
        schemes = AllowedSchemes(frozenset(file.protocols), None, credentials is not None, file.assumptions)
        return Limits(policy, schemes, credentials, WEIGHTED_BY, file.metrics, file.unusable, file.saturation)

    def store(self) -> Path | None:
        """Where it keeps what it has entered and helped to open, from job to job; None where the file says nothing."""
        store = self._read()[1].store
        return None if store is None else self.folder / store

    def validates(self) -> bool:
        """Whether it answers `validate`, whose numbers leave in clear: with an identity only if its file says so."""
        _, file = self._read()
        return file.identity is None if file.validate is None else file.validate

    def _read(self) -> tuple[Policy, _File]:
        path = self.folder / FILE
        if not path.exists():
            return USUAL, _File()
        try:
            found = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
            limits = {name: found.pop(name) for name in hints(Policy) if name in found}
            return msgspec.convert(limits, Policy), msgspec.convert(found, _File)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._refused(error) from None

    def _draw(self, file: _File) -> Draw | None:
        if file.draw is None:
            return None
        try:
            return Draw(bytes.fromhex(file.draw.beacon), file.draw.size, file.draw.rounds)
        except ConfigError as error:
            raise self._refused(f"draw: {error}") from None

    def _credentials(self, files: _Identity, draw: Draw | None) -> Credentials:
        try:
            key, passphrase = (self.folder / files.key).read_bytes(), (self.folder / files.passphrase).read_bytes()
        except OSError as error:
            raise ConfigError(f"identity of site {self.name!r}: {error}") from None
        private, roster = signing.load_private(key, passphrase.rstrip(b"\r\n")), read_roster(self.folder / files.roster)
        credentials = Credentials(private, roster, draw)
        credentials.check_identity(self.name)
        return credentials

    def _refused(self, why: object) -> ConfigError:
        return ConfigError(f"{FILE} of site {self.name!r}: {why}")


def read_roster(path: Path) -> Roster:
    """The roster in a file. Raises ConfigError."""
    try:
        return Roster.from_bytes(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"roster: {error}") from None
