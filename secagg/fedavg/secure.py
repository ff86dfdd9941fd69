"""One secure sum among hospitals, some of which go silent: what statistics and training have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from secagg.api import Aggregate, aggregate
from secagg.errors import BadWeight, PartyId, TooFew
from secagg.fedavg.history import Flow, SumRecord
from secagg.primitives.entropy import Entropy
from secagg.scheme import Scheme

SchemeSource = Scheme | Callable[[int], Scheme]
"""A scheme for every cohort, or a function from the number of parties to the scheme for so many."""


def scheme_for(source: SchemeSource, parties: int) -> Scheme:
    """The scheme for a cohort of `parties`."""
    return source if isinstance(source, Scheme) else source(parties)


@dataclass(frozen=True)
class Sums:
    """The secure sums of a run, at which hospitals fall silent.

    Attributes:
        scheme: of every sum, or a function from the number of parties to one.
        weights: public range of a hospital's patients.
        dropout: probability that a hospital goes silent in one sum.
        entropy: of the cryptography.
    """

    scheme: SchemeSource
    weights: tuple[int, int]
    dropout: float
    entropy: Entropy = field(repr=False)

    def add(
        self,
        updates: Mapping[str, Any],
        rng: np.random.Generator,
        counts: Mapping[str, int] | None = None,
        **options: Any,
    ) -> tuple[Aggregate | TooFew, SumRecord]:
        """One sum over the hospitals' updates: what came of it, and its record.

        Args:
            updates: {hospital: update}.
            rng: of the dropout schedule; and of roundings, so that a run can be repeated.
            counts: {hospital: its patients}; makes the mean one per patient.
            options: of `secagg.aggregate`.
        """
        parties = tuple(updates)
        scheme = scheme_for(self.scheme, len(parties))
        losses, (noise,) = draw_losses(parties, scheme, self.dropout, rng), rng.spawn(1)
        if counts is not None:
            least, most = self.weights
            weights = {party: counts[party] for party in parties}
            options |= {"weights": weights, "weight_max": most, "weight_min": least}
        try:
            out = aggregate(updates, scheme, lost=losses, entropy=self.entropy, noise=noise.bytes, **options)
        except TooFew as error:
            return error, _void(error, parties, scheme, losses)
        return out, _recorded(out, parties)


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


def _recorded(out: Aggregate, sampled: Sequence[str]) -> SumRecord:
    """The record of a sum among `sampled`."""
    return SumRecord(
        sampled=tuple(sampled),
        contributors=tuple(party for party in sampled if party in out.contributors),
        lost=_in_order(out.lost, sampled),
        misbehaved=_in_order(out.misbehaved, sampled),
        accused=_in_order(out.accused, sampled),
        too_few=None,
        saturated=int(out.saturated),
        traffic=tuple(
            Flow(phase, role, float(sent), float(out.seconds.get((phase, role), 0.0)))
            for (phase, role), sent in out.traffic.items()
        ),
    )


def _void(error: TooFew, sampled: Sequence[str], scheme: Scheme, losses: Mapping[str, str]) -> SumRecord:
    """The record of a round that ended in `error`: nobody is in a sum. Lost are those of `losses` until it closed."""
    names = [phase.name for phase in scheme.phases]
    closed = names.index(error.phase)
    return SumRecord(
        sampled=tuple(sampled),
        contributors=(),
        lost={party: at for party, at in losses.items() if names.index(at) <= closed},
        misbehaved={},
        accused={},
        too_few=str(error),
        saturated=0,
        traffic=(),
    )


def _in_order(told: Mapping[PartyId, str], sampled: Sequence[str]) -> dict[str, str]:
    return {party: told[party] for party in sampled if party in told}


def ignore(_: object) -> None:
    """What listens where nobody does."""


def check_counts(counts: Mapping[str, int], weights: tuple[int, int]) -> None:
    """Refuse a hospital with more or fewer training patients than the public bounds say.

    Raises:
        BadWeight: names the hospital.
    """
    for name, count in counts.items():
        if count > weights[1]:
            raise BadWeight(
                f"{count} training patients, expected at most weight_max = {weights[1]}; "
                "state a larger public bound for all hospitals",
                party=name,
            )
        if count < weights[0]:
            raise BadWeight(
                f"{count} training patients, expected at least weight_min = {weights[0]}; "
                "state a smaller public bound for all hospitals, or a smaller weight_max, of which it is a hundredth",
                party=name,
            )
