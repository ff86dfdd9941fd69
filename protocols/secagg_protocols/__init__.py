"""The protocols: each a `secagg.scheme.Scheme`, none knowing another.

Those that need optional libraries (`_extras`) are imported when such a scheme is made, and no sooner.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from secagg.scheme import Scheme
from secagg_protocols._extras import load
from secagg_protocols.pairwise import PairwiseMasking
from secagg_protocols.pairwise.scheme import secagg, secagg_plus

if TYPE_CHECKING:
    from secagg_protocols.paillier import PaillierKeys, PaillierSum


def _paillier(n: int, key_bits: int = 2048, adversary: str = "passive") -> Scheme:
    """A Paillier sum of n clients with a fresh key of a single holder; see `secagg_protocols.paillier`."""
    scheme: Scheme = load("paillier").paillier(n, key_bits, adversary)
    return scheme


PROTOCOLS: Mapping[str, Callable[..., Scheme]] = MappingProxyType(
    {"secagg": secagg, "secagg+": secagg_plus, "paillier": _paillier}
)
"""{name: factory}; `PROTOCOLS[name](n, **options)` is the scheme of that name for n clients."""

_OPTIONAL = {"PaillierKeys": "paillier", "PaillierSum": "paillier"}
"""{name: the protocol in whose package it is}."""

__all__ = ["PROTOCOLS", "PaillierKeys", "PaillierSum", "PairwiseMasking"]


def __getattr__(name: str) -> Any:
    if name not in _OPTIONAL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(load(_OPTIONAL[name]), name)
