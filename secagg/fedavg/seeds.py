"""Random streams of the simulation, each independent of all others and fixed by the seed.

Never a source of secrets: those come from the caller's `entropy`.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for; two purposes never share numbers."""

    PARTITION = 0
    HOLD_OUT = 1
    INIT = 2
    SAMPLING = 3
    BATCHES = 4
    SILENCE = 5
    STATISTICS = 6
    REFERENCE = 7


def stream(seed: int, purpose: Purpose, *key: int) -> np.random.Generator:
    """The generator of one purpose, and of one `key` (round, hospital) within it; all numbers >= 0."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(purpose), *key)))
