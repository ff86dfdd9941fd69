"""What people are told of a protocol, and what it needs: to be had without the libraries that it needs."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Who can read single updates, in words.

    Attributes:
        lying: whether a server that lies can, a sentence.
        colluding: whether a server together with others can, a sentence.
        in_short: both as one clause, whose subject is a server.
    """

    lying: str
    colluding: str
    in_short: str


@dataclass(frozen=True)
class Facts:
    """Of one protocol, under all names that it has.

    Attributes:
        names: {name that a user chooses it by: how it works under that name, a clause}.
        limits: who can read single updates.
        extra: the optional extra of the package that it needs, None for none.
        libraries: what that extra brings, by import name.
    """

    names: Mapping[str, str]
    limits: Limits
    extra: str | None = None
    libraries: frozenset[str] = frozenset()
