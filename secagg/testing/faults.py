"""Which parties go silent, and when."""

import random
from collections.abc import Iterator, Sequence
from itertools import product

from secagg.errors import PartyId

Losses = dict[PartyId, str]
"""{party: phase from which it is silent}; the others stay to the end."""


def all_losses(parties: Sequence[PartyId], phases: Sequence[str]) -> Iterator[Losses]:
    """Every pattern: each party is lost at none or any one of the phases, (phases + 1) ** parties in all."""
    for choice in product((None, *phases), repeat=len(parties)):
        yield {party: phase for party, phase in zip(parties, choice, strict=True) if phase is not None}


def sampled_losses(parties: Sequence[PartyId], phases: Sequence[str], count: int, seed: int) -> Iterator[Losses]:
    """`count` patterns, each party lost with a rate that is itself drawn, so that few and many losses occur."""
    draw = random.Random(seed)
    for _ in range(count):
        rate = draw.random()
        yield {party: draw.choice(list(phases)) for party in parties if draw.random() < rate}
