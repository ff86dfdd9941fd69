"""Pairwise masking: SecAgg (Bonawitz et al., CCS 2017) and SecAgg+ (Bell et al., CCS 2020).

Every pair of neighbours adds a mask that cancels in the sum, every client one of its own. Secrets are shared
among neighbours, who give the server the seed of a contributor's own mask, or the key of a lost client's pairwise
ones, and never both.
"""

from typing import TYPE_CHECKING

from secagg import lazy
from secagg_protocols.pairwise.facts import FACTS

if TYPE_CHECKING:
    from secagg_protocols.pairwise.plan import Plan
    from secagg_protocols.pairwise.scheme import PairwiseMasking, secagg, secagg_plus

__all__ = ["FACTS", "PairwiseMasking", "Plan", "secagg", "secagg_plus"]

__getattr__ = lazy.names(
    __name__, {"PairwiseMasking": "scheme", "Plan": "plan", "secagg": "scheme", "secagg_plus": "scheme"}
)
