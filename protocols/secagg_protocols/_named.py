"""The protocols by name."""

from collections.abc import Callable, Mapping
from inspect import signature
from types import MappingProxyType
from typing import TYPE_CHECKING, get_args

from secagg.scheme import Scheme
from secagg_protocols._extras import load
from secagg_protocols.pairwise.scheme import secagg, secagg_plus

if TYPE_CHECKING:
    from secagg_protocols.ckks import CkksSum
    from secagg_protocols.paillier import PaillierSum


def _paillier(n: int, key_bits: int = 2048, adversary: str = "passive") -> "PaillierSum":
    """`secagg_protocols.paillier.paillier`. Raises ConfigError where gmpy2 is not installed."""
    scheme: PaillierSum = load("paillier", "paillier")(n, key_bits, adversary)
    return scheme


def _ckks(n: int, holders: int = 3, quorum: int | None = None, adversary: str = "passive") -> "CkksSum":
    """`secagg_protocols.ckks.ckks`. Raises ConfigError where TenSEAL is not installed."""
    scheme: CkksSum = load("ckks", "ckks")(n, holders, quorum, adversary)
    return scheme


PROTOCOLS: Mapping[str, Callable[..., Scheme]] = MappingProxyType(
    {"secagg": secagg, "secagg+": secagg_plus, "paillier": _paillier, "ckks": _ckks}
)
"""{name: factory}; `PROTOCOLS[name](n, **options)` is the scheme of that name for n clients."""


def options_of(name: str) -> frozenset[str]:
    """Names of the options that a protocol's factory takes."""
    options: set[str] = set()
    for option in signature(PROTOCOLS[name]).parameters.values():
        if option.kind is option.VAR_KEYWORD:
            (keywords,) = get_args(option.annotation)  # of Unpack[...]
            options |= keywords.__annotations__.keys()
        else:
            options.add(option.name)
    return frozenset(options - {"n"})
