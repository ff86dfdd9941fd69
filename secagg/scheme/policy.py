"""What a party will take part in, whatever the server says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from secagg.arguments import check_fields
from secagg.errors import PartyId, PolicyRefused, TooFew
from secagg.scheme.session import MAX_PARTIES, Session

LEAST_COHORT = 2
"""A sum of one vector is that vector."""
MinCohort = Annotated[int, Meta(ge=LEAST_COHORT, le=MAX_PARTIES)]
"""`Policy.min_cohort` in a message."""


@dataclass(frozen=True)
class Policy:
    """One party's own limits.

    Attributes:
        min_cohort: fewest contributors to a sum; at least 2, since a sum of one is that one. It enters no session of
            fewer clients and helps to open no sum of fewer. Who else can: in pairwise masking others, if they are the
            threshold and ask for less. In Paillier and CKKS sums the key's holders, so there it also tells the server,
            and one that follows the protocol opens no sum of fewer that holds its vector.
        max_dim: most entries of a ring vector it allocates.
        min_threshold: fewest shares that may open one of its secrets, where they are shared: in pairwise masking, and
            under Paillier keys dealt in advance. A fresh Paillier key and that of CKKS are each one holder's to use.
    """

    min_cohort: Annotated[
        int, Meta(ge=LEAST_COHORT, title="an integer, at least 2: a sum of one vector is that vector")
    ] = 3
    max_dim: Annotated[int, Meta(ge=1)] = 2**28
    min_threshold: Annotated[int, Meta(ge=2, title="an integer, at least 2: one share must not open a secret")] = 2

    def __post_init__(self) -> None:
        check_fields(self)

    def strictest(self, other: "Policy") -> "Policy":
        """The limits that satisfy both."""
        return Policy(
            max(self.min_cohort, other.min_cohort),
            min(self.max_dim, other.max_dim),
            max(self.min_threshold, other.min_threshold),
        )

    def check_session(self, session: Session, clients: int | None = None) -> None:
        """Raise PolicyRefused for a session, of so many clients (default: all parties), this party takes no part in."""
        self.check_cohort(len(session.parties) if clients is None else clients)
        if session.dim > self.max_dim:
            raise PolicyRefused(f"session of {session.dim} entries: this party's policy allows {self.max_dim}")

    def check_threshold(self, threshold: int) -> None:
        """Raise PolicyRefused for fewer than `min_threshold` shares to a secret."""
        if threshold < self.min_threshold:
            raise PolicyRefused(
                f"{threshold} shares open a secret: "
                f"this party's policy asks for at least {self.min_threshold} (Policy.min_threshold)"
            )

    def check_cohort(self, contributors: int) -> None:
        """Raise PolicyRefused for fewer than `min_cohort` contributors."""
        if contributors < self.min_cohort:
            raise PolicyRefused(
                f"a sum over {contributors} parties: "
                f"this party's policy asks for at least {self.min_cohort} (Policy.min_cohort)"
            )


def check_least(phase: str, least: Mapping[PartyId, int], of: str = "parties answered") -> None:
    """Raise TooFew where a sum over these parties, {party: fewest that it allows}, is one of too few for any of them.

    For a server that is told what its clients ask for; the error names who asks for more.
    """
    asking = {party: asked for party, asked in least.items() if asked > len(least)}
    if asking or len(least) < LEAST_COHORT:
        raise TooFew(phase, len(least), max(asking.values(), default=LEAST_COHORT), of, asking)
