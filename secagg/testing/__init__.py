"""For tests only: the one deterministic entropy, faults, and rounds that a test may tamper with.

The exam that every scheme must pass is `secagg.testing.conformance`, which needs pytest.
"""

from secagg.testing.entropy import SeededEntropy
from secagg.testing.faults import all_losses, sampled_losses
from secagg.testing.round import TestRound, asking, opened, rewritten
from secagg.testing.small import small_keys
from secagg.testing.transport import HostileTransport, Schedule

__all__ = [
    "HostileTransport",
    "Schedule",
    "SeededEntropy",
    "TestRound",
    "all_losses",
    "asking",
    "opened",
    "rewritten",
    "sampled_losses",
    "small_keys",
]
