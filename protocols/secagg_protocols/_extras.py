"""Protocols whose libraries are optional: their facts are always there, their schemes when one is made."""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from secagg.errors import ConfigError
from secagg.scheme.facts import Facts
from secagg_protocols.ckks.facts import FACTS as CKKS
from secagg_protocols.paillier.facts import FACTS as PAILLIER
from secagg_protocols.pairwise.facts import FACTS as PAIRWISE

FACTS: Mapping[str, Facts] = MappingProxyType(
    {name: facts for facts in (PAIRWISE, PAILLIER, CKKS) for name in facts.names}
)
"""{name in `PROTOCOLS`: what people are told of it}; no library of a protocol is imported for it."""


def load(module: str, name: str) -> Any:
    """`name` from `secagg_protocols.<module>`.

    Raises:
        ConfigError: a library of one protocol is not installed; says how to install it.
    """
    try:
        return getattr(import_module(f"secagg_protocols.{module}"), name)
    except ModuleNotFoundError as missing:
        library = (missing.name or "").partition(".")[0]
        for protocol, facts in FACTS.items():
            if library in facts.libraries:
                raise ConfigError(
                    f"protocol {protocol} needs {library}, which is not installed: pip install 'secagg[{facts.extra}]'"
                ) from None
        raise
