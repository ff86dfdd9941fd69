"""Which protocol `secagg fedavg` runs, and with what options."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

from msgspec import Meta

import secagg_protocols
from secagg.errors import ConfigError
from secagg.fedavg.trust import among_hospitals
from secagg.scheme import Scheme
from secagg.scheme.facts import Facts
from secagg_protocols import FACTS
from secagg_protocols.pairwise.demand import Adversary, usual_loss

_SUMS = {"panel": "Secure sums"}
_HOW = among_hospitals("; ".join(f"{name}: {facts.names[name]}" for name, facts in FACTS.items()))
_SMALL = 4
"""The least cohort of which every protocol can lose one."""


@dataclass(frozen=True)
class Protocol:
    """A scheme by name.

    Attributes:
        name: one of `PROTOCOLS`.
        neighbours, threshold, adversary: as its factory takes them; None leaves the choice to it.

    Raises:
        ConfigError: an option that this protocol does not take.
    """

    name: Annotated[
        str, Meta(description=f"{_HOW}.", extra=_SUMS | {"option": "--protocol", "choices": tuple(FACTS)})
    ] = "secagg"
    neighbours: Annotated[
        int | None, Meta(description="secagg+: neighbours of a hospital; planned where not given.", extra=_SUMS)
    ] = None
    threshold: Annotated[
        int | None, Meta(description="Shares that open a secret; derived where not given.", extra=_SUMS)
    ] = None
    adversary: Annotated[
        Adversary | None,
        Meta(
            description="Whether the server only looks on or may lie too; passive where not given.",
            extra=_SUMS,
        ),
    ] = None

    def __post_init__(self) -> None:
        for option, value in self._chosen.items():
            if not _takes(self.name, option):
                takers = ", ".join(name for name in FACTS if _takes(name, option))
                raise ConfigError(f"{option} is {value!r}: protocol {self.name} takes none, expected one of {takers}")

    @property
    def _chosen(self) -> dict[str, Any]:
        options = {"neighbours": self.neighbours, "threshold": self.threshold, "adversary": self.adversary}
        return {option: value for option, value in options.items() if value is not None}

    @property
    def facts(self) -> Facts:
        """What people are told of it."""
        return FACTS[self.name]

    def scheme(self, n: int, dropout: float) -> Scheme:
        """The scheme for n clients, each lost with odds of `dropout`: told to protocols that ask for it.

        They plan for a share; of few clients a larger one than the odds is lost often enough.

        Raises:
            OutOfRange, ConfigError: naming the option.
        """
        told = {"dropout": max(dropout, usual_loss(n))} if _takes(self.name, "dropout") else {}
        return secagg_protocols.PROTOCOLS[self.name](n, **told, **self._chosen)

    def note(self, n: int) -> str | None:
        """What to tell of options that n hospitals make into something else than was asked for."""
        if self.neighbours is None or self.neighbours < n - 1:
            return None
        return (
            f"neighbours is {self.neighbours}: {n} hospitals have {n - 1} others each, so all are neighbours "
            "(the complete graph, as --protocol secagg has it)"
        )

    def small(self) -> tuple[Scheme, int]:
        """(the scheme for a few clients of whom one may be lost, how many they are): whatever the cohort's options."""
        return replace(self, neighbours=None, threshold=None).scheme(_SMALL, 1 / _SMALL), _SMALL


def _takes(protocol: str, option: str) -> bool:
    return option in secagg_protocols.options_of(protocol)
