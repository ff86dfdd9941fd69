"""What is asked of a SecAgg+ graph, before one is sought."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Literal, TypeAlias, TypedDict

from msgspec import Meta

from secagg.arguments import check_fields
from secagg.errors import OutOfRange

Adversary: TypeAlias = Literal["passive", "active"]
Rate: TypeAlias = Annotated[float, Meta(ge=0, lt=1)]
"""Of a cohort's clients."""
MAX_CLIENTS = 10**9
MAX_BITS = 1024
USUAL_LOSS = 0.05


@dataclass(frozen=True)
class Demand:
    """A cohort, and the odds asked of it.

    Rates become whole clients, rounded up, from their decimal notation (0.07 of 100 clients is 7).

    Raises:
        OutOfRange: a number is not of its kind or lies outside its range, or nobody honest would be left.
        ConfigError: `adversary` is neither "passive" nor "active".

    Attributes:
        n: clients in the cohort.
        corrupt, dropout: rates; corrupt + dropout < 1.
        sigma, eta: bits of security and of correctness.
        adversary: "passive" (the server follows the protocol) or "active" (it may tell clients different things).
    """

    n: Annotated[int, Meta(ge=3, le=MAX_CLIENTS, description="Clients in the cohort.", extra={"argument": "N"})]
    corrupt: Annotated[Rate, Meta(description="Rate of clients that tell the server all they know.")] = 0.05
    dropout: Annotated[Rate, Meta(description="Rate of clients that go silent.")] = 0.05
    sigma: Annotated[int, Meta(ge=1, le=MAX_BITS, description="Security: fails with odds of at most 2^-sigma.")] = 40
    eta: Annotated[int, Meta(ge=1, le=MAX_BITS, description="Correctness: fails with odds of at most 2^-eta.")] = 30
    adversary: Annotated[Adversary, Meta(description="Whether the server may lie, or only looks on.")] = "passive"

    def __post_init__(self) -> None:
        check_fields(self)
        if _exact(self.corrupt) + _exact(self.dropout) >= 1:
            raise OutOfRange(f"corrupt + dropout must be below 1, got {self.corrupt} + {self.dropout}")

    @property
    def colluding(self) -> int:
        """Clients that tell the server all they know."""
        return clients(self.n, self.corrupt)

    @property
    def lost(self) -> int:
        """Clients that go silent."""
        return clients(self.n, self.dropout)


class Odds(TypedDict, total=False):
    """What a plan is asked for, as `Demand` has it; what is left out has its default."""

    corrupt: float
    dropout: float
    sigma: int
    eta: int


def usual_loss(n: int) -> float:
    """The rate of clients that go silent where nobody states one: 5 %, and of fewer than 400 sqrt(n), at most a third.

    Losses scatter by that much: 5 % of ten clients are one on paper, and every eleventh round loses two or more.
    """
    return max(USUAL_LOSS, min(math.isqrt(n), n // 3) * 1000 // n / 1000)


def clients(n: int, rate: float) -> int:
    """Whole clients of n, rounded up from the rate's decimal notation."""
    return math.ceil(n * _exact(rate))


def _exact(rate: float) -> Fraction:
    return Fraction(repr(float(rate)))
