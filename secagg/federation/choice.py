"""Which scheme a round runs: named by the server, built at both ends, allowed by the client."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from secagg.arguments import checked
from secagg.errors import ConfigError, PolicyRefused
from secagg.federation.messages import Invitation
from secagg.scheme import Scheme
from secagg_protocols import PROTOCOLS, options_of

OWN = "own"
_Option = int | float | str | bool | None
ASSUMPTIONS: Mapping[str, float] = {"corrupt": 0.05, "sigma": 40}
"""The least that a scheme which the server names may assume, where the client says nothing else."""

_Options = Annotated[dict[str, Any], Meta(title="a dict {name: value}")]
_Names = Annotated[frozenset[str], Meta(title="a set of names")]
_Numbers = Annotated[dict[str, float], Meta(title="a dict {name: number}")]
_MOST = 20
_COHORTS = (4, 2, *(2**power for power in range(3, _MOST + 1)))
"""Sizes of which one is in t..2t - 1, whatever a threshold t is."""


@dataclass(frozen=True)
class SchemeChoice:
    """The server's choice.

    Attributes:
        scheme: a key of `PROTOCOLS`, or an object that the clients were given too.
        options: keyword arguments of the protocol's factory; for a name only.

    Raises ConfigError for an unknown name, and options that the protocol does not take or that cannot travel. Whether a
    cohort can run it, `check_usable` says.
    """

    scheme: str | Scheme
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", checked("options", self.options, _Options))
        if isinstance(self.scheme, Scheme):
            if self.options:
                raise ConfigError("options go with a protocol's name; a scheme object has its own")
            return
        if not isinstance(self.scheme, str) or self.scheme not in PROTOCOLS:
            raise ConfigError(f"scheme {self.scheme!r} is unknown, expected one of {sorted(PROTOCOLS)} or an object")
        for option in self.options.keys() - options_of(self.scheme):
            takes = sorted(options_of(self.scheme))
            raise ConfigError(f"options of {self.scheme!r}: no {option!r}, expected some of {takes}")
        self._text()

    def check_usable(self, parties: int | None = None) -> None:
        """Raise ConfigError for what a cohort of so many cannot run; None where any size may come, for what none can.

        A threshold, say, fits larger cohorts alone.
        """
        refusals = []
        for size in _COHORTS if parties is None else [parties]:
            try:
                self.made(size)
            except ConfigError as refusal:
                refusals.append(refusal)
            else:
                return
        if len({str(refusal) for refusal in refusals}) == 1:  # at any size
            raise refusals[0]
        raise ConfigError(
            f"no cohort of 2..2**{_MOST} parties can run {self.name!r} with {dict(self.options)}; "
            f"one of {_COHORTS[0]}: {refusals[0]}"
        )

    @property
    def name(self) -> str:
        """As travels: the protocol's key, or `OWN`."""
        return self.scheme if isinstance(self.scheme, str) else OWN

    def made(self, parties: int) -> Scheme:
        """The scheme for a cohort of `parties`. Raises ConfigError for options that do not fit."""
        if isinstance(self.scheme, str):
            return _built(self.scheme, parties, self.options)
        return self.scheme

    def advice(self, parties: int, lost: int) -> str | None:
        """What to log of a round over `parties` that ended without a sum when so many were lost."""
        survivable = 0 < 2 * lost < parties
        if not survivable or not isinstance(self.scheme, str) or "dropout" not in options_of(self.scheme):
            return None
        return (
            f"{lost} of {parties} were lost, and {self.scheme!r} is planned for a share that may be: "
            f"state it, such as options={{'dropout': {ceil(100 * lost / parties) / 100}}}"
        )

    def invitation(self, scheme: Scheme, model: bytes, weighted_by: str, metrics: Mapping[str, float]) -> Invitation:
        """What a client needs to build `scheme`, and what of its reply is summed."""
        return Invitation(self.name, self._text(), scheme.fingerprint, weighted_by, model, dict(metrics))

    def _text(self) -> str:
        try:
            return json.dumps(self.options)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"options of {self.name!r} do not fit JSON: {error}") from None


@dataclass(frozen=True)
class AllowedSchemes:
    """What a client runs.

    Attributes:
        protocols: keys of `PROTOCOLS` that the server may choose from.
        scheme: takes their place: the one scheme that this client runs.
        authenticated: whether only schemes that authenticate the parties will do.
        assumptions: the least that `Scheme.assumptions` of a scheme that the server named may say, above or below
            `ASSUMPTIONS`.

    Raises ConfigError for names that are unknown.
    """

    protocols: frozenset[str]
    scheme: Scheme | None
    authenticated: bool
    assumptions: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.scheme, Scheme | None):
            raise ConfigError(f"scheme is {self.scheme!r}: expected a Scheme or None")
        object.__setattr__(self, "authenticated", checked("authenticated", self.authenticated, bool))
        object.__setattr__(self, "protocols", checked("protocols", self.protocols, _Names))
        object.__setattr__(self, "assumptions", checked("assumptions", self.assumptions, _Numbers))
        for what, names, known in (
            ("assumptions", self.assumptions, ASSUMPTIONS),
            ("protocols", self.protocols, PROTOCOLS),
        ):
            unknown = sorted(set(names) - set(known))
            if unknown:
                raise ConfigError(f"{what}: {unknown[0]!r} is unknown, expected names among {sorted(known)}")

    def made(self, invitation: Invitation, parties: int) -> Scheme:
        """The scheme that the server named, built here. Raises PolicyRefused or ConfigError."""
        scheme = self.scheme if self.scheme is not None else self._named(invitation, parties)
        if scheme.fingerprint != invitation.fingerprint:
            raise ConfigError(
                f"the server runs another scheme or other options than {scheme}: "
                "give both ends the same scheme, and the same version of secagg"
            )
        if self.authenticated and not scheme.authenticated:
            raise PolicyRefused(f"{scheme}: this client has credentials, so it takes active mode only")
        return scheme

    def _named(self, invitation: Invitation, parties: int) -> Scheme:
        name = invitation.protocol
        if name == OWN:
            raise ConfigError("the server was given a scheme object: give this client an equal one")
        if name not in self.protocols:
            raise PolicyRefused(f"protocol {name!r}: this client allows {sorted(self.protocols)}")
        try:
            options = msgspec.json.decode(invitation.options, type=dict[str, _Option])
        except (msgspec.DecodeError, RecursionError) as error:
            raise ConfigError(f"options of {name!r}: {error}") from None
        scheme = _built(name, parties, options)
        least = {**ASSUMPTIONS, **self.assumptions}
        for assumed, value in scheme.assumptions.items():
            # A server that lies corrupts more clients than the options say, and the scheme's threshold rests on these.
            asked = least.get(assumed, inf)
            if value < asked:
                raise PolicyRefused(
                    f"{scheme} with {assumed} {value}: a lying server could have chosen it, and this client asks for "
                    f"at least {asked}"
                )
        return scheme


def _built(name: str, parties: int, options: Mapping[str, Any]) -> Scheme:
    try:
        return PROTOCOLS[name](parties, **options)
    except TypeError as error:
        raise ConfigError(f"options of {name!r}: {error}") from None
