"""For tests only: the one deterministic entropy, faults, and the exam that every scheme must pass."""

from secagg.testing.conformance import SchemeConformance
from secagg.testing.entropy import SeededEntropy
from secagg.testing.faults import all_losses, sampled_losses
from secagg.testing.round import TestRound, opened, rewritten
from secagg.testing.transport import HostileTransport

__all__ = [
    "HostileTransport",
    "SchemeConformance",
    "SeededEntropy",
    "TestRound",
    "all_losses",
    "opened",
    "rewritten",
    "sampled_losses",
]
