"""What is run: the cohorts of `tables.toml`, and what a person may ask for instead."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from bench.results import Case, title_of
from secagg.scheme import Scheme
from secagg_protocols import PROTOCOLS, PairwiseMasking

MASKS = "pairwise"


class Cohort(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One round; the fields are explained in `tables.toml`."""

    clients: int = 0
    dim: int = 0
    neighbours: int | None = None
    lost: int = 0
    threshold: int | None = None
    family: str = MASKS

    @classmethod
    def of(cls, protocol: str, clients: int, dim: int, lost: int = 0) -> "Cohort":
        """With the options that the protocol has for so many clients."""
        scheme = PROTOCOLS[protocol](clients)
        if isinstance(scheme, PairwiseMasking):
            return cls(clients, dim, scheme.neighbours, lost, scheme.threshold)
        return cls(clients, dim, lost=lost, family=protocol)

    @property
    def scheme(self) -> Scheme:
        """The protocol with its options."""
        if self.family == MASKS:
            return PairwiseMasking(self.neighbours, self.threshold)
        return PROTOCOLS[self.family](self.clients)

    @property
    def case(self) -> Case:
        """For a row of results."""
        scheme, parameters, name = self.scheme, {}, TABLES.families[self.family].label
        if isinstance(scheme, PairwiseMasking):
            found = scheme.parameters_for(self.clients)
            parameters = {"neighbours": found.degree, "threshold": found.threshold}
            name += "" if found.complete else "+"
        return {"protocol": name, "clients": self.clients, "dim": self.dim, **parameters, "lost": self.lost}

    @property
    def title(self) -> str:
        """In a few words."""
        return title_of(self.case)


def tiny(cohort: Cohort) -> Cohort:
    """The same in a size that shows that everything runs."""
    graph = {"neighbours": cohort.neighbours and 4, "threshold": cohort.threshold and 3}
    return replace(cohort, clients=10, dim=1000, lost=cohort.lost and 2, **graph)


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Protocols that are measured alike."""

    label: str
    runs: int
    phases: tuple[Cohort, ...]
    large: tuple[Cohort, ...]


class Axis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A size that grows."""

    name: str
    label: str
    x: str
    values: tuple[int, ...]
    base: Cohort

    def cohorts(self, quick: bool) -> Iterator[Cohort]:
        """Every point."""
        base, values = self.base, self.values
        if quick:
            base = tiny(base)
            values = {"clients": (8, 16), "dim": (256, 1024), "neighbours": (4, 6), "lost": (1, 2)}[self.x]
        for value in values:
            lost = value // 5 if self.x == "clients" else base.lost
            yield replace(base, **{"lost": lost, self.x: value})


class Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person may ask for; explained in `tables.toml`."""

    jobs: str
    what: str
    own: tuple[str, ...] = ()


class Tables(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    suites: dict[str, Suite]
    options: dict[str, str]
    programs: dict[str, str]
    families: dict[str, Family]
    relies_on: dict[str, str]
    single: dict[str, tuple[Cohort, ...]]
    curves: dict[str, tuple[tuple[str, str], ...]]
    growth: dict[str, tuple[Axis, ...]]
    parts: dict[str, dict[str, str]]


TABLES = msgspec.toml.decode(Path(__file__).with_name("tables.toml").read_bytes(), type=Tables)


class Options(msgspec.Struct, frozen=True):
    """What a person may ask of a suite, as `tables.toml` explains: where a protocol or a size is given, one case
    instead of the suite's own.
    """

    protocol: str | None = None
    clients: int | None = None
    dim: int | None = None
    neighbours: int | None = None
    lost: int | None = None
    quick: bool = False
    traced: bool = False
    rounds: int | None = None
    epochs: int | None = None
    training: float | None = None

    @property
    def is_one_case(self) -> bool:
        """Whether the suite's own cases give way."""
        return replace(self, quick=False) != Options()

    @property
    def family(self) -> str:
        """That of the protocol."""
        return self.protocol if self.protocol in TABLES.families else MASKS

    def cohort(self, standard: Cohort) -> Cohort:
        """The cohort asked for; what is left open is as in `standard`."""
        clients, neighbours = self.clients or standard.clients, self.neighbours or standard.neighbours
        if self.protocol == "secagg" or self.family != MASKS:
            neighbours = None
        lost = standard.lost * clients // standard.clients if self.lost is None else self.lost
        return Cohort(clients, self.dim or standard.dim, neighbours, lost, family=self.family)


COMMON = Options.__struct_fields__[:6]
"""Options of all suites."""
