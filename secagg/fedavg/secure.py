"""One secure sum among hospitals, some of which go silent: what statistics and training have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from secagg.api import Aggregate, aggregate
from secagg.errors import BadWeight, PartyId, TooFew
from secagg.fedavg.history import Flow
from secagg.scheme import Scheme
from secagg.scheme.machine import Entropy

SchemeSource = Scheme | Callable[[int], Scheme]
"""A scheme for every cohort, or a function from the number of parties to the scheme for so many."""


def scheme_for(source: SchemeSource, parties: int) -> Scheme:
    """The scheme for a cohort of `parties`."""
    return source if isinstance(source, Scheme) else source(parties)


def draw_losses(parties: Sequence[str], scheme: Scheme, dropout: float, rng: np.random.Generator) -> dict[str, str]:
    """Who goes silent, and from which phase on: each with probability `dropout`, any phase alike.

    The same numbers are drawn whoever is lost, so that a schedule with a higher `dropout` contains the
    one with a lower.
    """
    fates = rng.random(len(parties))
    phases = rng.integers(len(scheme.phases), size=len(parties))
    return {
        party: scheme.phases[phase].name
        for party, fate, phase in zip(parties, fates, phases, strict=True)
        if fate < dropout
    }


def secure_sum(
    updates: Mapping[str, Any],
    scheme: Scheme,
    losses: Mapping[str, str],
    *,
    entropy: Entropy,
    weights: Mapping[str, int] | None = None,
    weight_max: int | None = None,
    bits: int,
    clip: Any = 1.0,
) -> Aggregate:
    """`secagg.aggregate` among hospitals, which are named by str."""
    return aggregate(
        dict[PartyId, Any](updates.items()),
        scheme=scheme,
        weights=None if weights is None else dict[PartyId, int](weights.items()),
        weight_max=weight_max,
        bits=bits,
        clip=clip,
        lost=dict[PartyId, str](losses.items()),
        entropy=entropy,
    )


@dataclass(frozen=True)
class Outcome:
    """What a secure sum says about its parties, in the cohort's order, for a record.

    Attributes:
        contributors: in the sum.
        lost: {party: phase}.
        misbehaved: {party: why}.
        saturated: entries clipped, all contributors together.
        traffic: bytes and seconds by phase and role.
    """

    contributors: tuple[str, ...]
    lost: dict[str, str]
    misbehaved: dict[str, str]
    saturated: int
    traffic: tuple[Flow, ...]

    @classmethod
    def of(cls, out: Aggregate, parties: Sequence[str]) -> "Outcome":
        """Read off a round that ended in a sum."""
        return cls(
            contributors=tuple(party for party in parties if party in out.contributors),
            lost={party: out.lost[party] for party in parties if party in out.lost},
            misbehaved={party: out.misbehaved[party] for party in parties if party in out.misbehaved},
            saturated=int(out.saturated),
            traffic=tuple(
                Flow(phase, role, float(sent), float(out.seconds.get((phase, role), 0.0)))
                for (phase, role), sent in out.traffic.items()
            ),
        )

    @classmethod
    def void(cls, error: TooFew, losses: Mapping[str, str], scheme: Scheme) -> "Outcome":
        """A round that ended in `error`: nobody is in a sum. Lost are those of `losses` until it closed."""
        names = [phase.name for phase in scheme.phases]
        closed = names.index(error.phase)
        return cls((), {party: at for party, at in losses.items() if names.index(at) <= closed}, {}, 0, ())


def ignore(_: object) -> None:
    """What listens where nobody does."""


def check_counts(counts: Mapping[str, int], weight_max: int) -> None:
    """Refuse a hospital with more training patients than the public bound says.

    Raises:
        BadWeight: names the hospital.
    """
    for name, count in counts.items():
        if count > weight_max:
            raise BadWeight(
                f"{count} training patients, expected at most weight_max = {weight_max}; "
                "state a larger public bound for all hospitals",
                party=name,
            )
