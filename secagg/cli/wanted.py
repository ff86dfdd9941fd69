"""What `secagg plan` is asked."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from secagg.encoding.encoding import MAX_DIM
from secagg_protocols.pairwise.demand import Demand


@dataclass(frozen=True)
class Wanted(Demand):
    """A cohort, the odds asked of it, and the update whose bytes are counted."""

    dim: Annotated[int, Meta(ge=1, le=MAX_DIM, description="Entries of one update.")] = 100_000
    bits: Annotated[int, Meta(ge=1, le=32, description="Bits of one quantized entry.")] = 16
