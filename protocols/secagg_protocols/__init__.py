"""The protocols: each a `secagg.scheme.Scheme`, none knowing another."""

from typing import TYPE_CHECKING, Any

from secagg_protocols._extras import FACTS, load

if TYPE_CHECKING:
    from secagg_protocols._named import PROTOCOLS, options_of
    from secagg_protocols.ckks import CkksSum
    from secagg_protocols.paillier import PaillierKeys, PaillierSum
    from secagg_protocols.pairwise import PairwiseMasking

__all__ = ["FACTS", "PROTOCOLS", "CkksSum", "PaillierKeys", "PaillierSum", "PairwiseMasking", "options_of"]

_HOMES = {
    "PROTOCOLS": "_named",
    "CkksSum": "ckks",
    "PaillierKeys": "paillier",
    "PaillierSum": "paillier",
    "PairwiseMasking": "pairwise",
    "options_of": "_named",
}
"""{name: the module it is imported from when it is first asked for}."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return load(_HOMES[name], name)
