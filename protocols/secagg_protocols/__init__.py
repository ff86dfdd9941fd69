"""The protocols: each a `secagg.scheme.Scheme`, none knowing another."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from secagg.scheme import Scheme
from secagg_protocols.pairwise import PairwiseMasking
from secagg_protocols.pairwise.scheme import secagg, secagg_plus

PROTOCOLS: Mapping[str, Callable[..., Scheme]] = MappingProxyType({"secagg": secagg, "secagg+": secagg_plus})
"""{name: factory}; `PROTOCOLS[name](n, **options)` is the scheme of that name for n clients."""

__all__ = ["PROTOCOLS", "PairwiseMasking"]
