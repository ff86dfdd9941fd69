"""How short a key may be whose strength is the hardness of factoring."""

from typing import Annotated

from msgspec import Meta

from secagg.arguments import checked

LEAST_BITS = 2048
"""Bits of a modulus: 112 bits of security (NIST SP 800-57, part 1, table 2)."""
MOST_BITS = 8192

_least = LEAST_BITS  # `secagg.testing.small_keys` lowers it; nothing else may


def check_key_bits(bits: int) -> None:
    """Raise OutOfRange for a modulus of fewer or more bits than keys may have, or of an odd number of them."""
    checked("key_bits", bits, Annotated[int, Meta(ge=_least, le=MOST_BITS, multiple_of=2)])
