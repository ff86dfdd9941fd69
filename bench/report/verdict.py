"""A promise and what became of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.results import Results

Found = Mapping[str, Results]
KERNELS, PEERS, ROUNDS = "python -m bench kernels", "python -m bench peers", "python -m bench rounds"


@dataclass(frozen=True)
class Verdict:
    """A measured figure.

    Attributes:
        text: for people.
        met: None where this machine cannot tell.
    """

    text: str
    met: bool | None


@dataclass(frozen=True)
class Target:
    """One row of the table.

    Attributes:
        what: is measured.
        least: what it should reach, as it was promised.
        command: that measures it.
        judge: its verdict, None where the results lack it.
    """

    what: str
    least: str
    command: str
    judge: Callable[[Found], Verdict | None]
