"""What a person may ask of a suite, and what a suite is made of."""

from collections.abc import Callable
from dataclasses import dataclass, fields

from bench.results import Row

Tell = Callable[[str], None]
"""Called with what is being done, for the progress bar."""


@dataclass(frozen=True)
class Options:
    """One case instead of the suite's own, where any of the first five is given.

    Attributes:
        protocol: "secagg", "secagg+", "paillier" or "ckks".
        clients: n.
        dim: entries of each update.
        neighbours: k of SecAgg+; of kernels, how many masks.
        lost: clients that send no vector.
        quick: sizes cut down to show that everything runs.
    """

    protocol: str | None = None
    clients: int | None = None
    dim: int | None = None
    neighbours: int | None = None
    lost: int | None = None
    quick: bool = False

    @property
    def is_one_case(self) -> bool:
        """Whether the suite's own cases give way."""
        return any(getattr(self, field.name) is not None for field in fields(self) if field.name != "quick")


@dataclass(frozen=True)
class Job:
    """One step of a suite.

    Attributes:
        name: for the progress bar.
        work: does it and returns the rows.
    """

    name: str
    work: Callable[[Tell], list[Row]]
