"""Protocols whose libraries are optional: imported when such a scheme is made, and no sooner."""

from importlib import import_module
from typing import Any

from secagg.errors import ConfigError

LIBRARIES = {"paillier": frozenset({"gmpy2"}), "ckks": frozenset({"tenseal", "zstandard"})}
"""{protocol, and the extra that installs what it needs: those libraries, by import name}."""


def load(protocol: str) -> Any:
    """The package `secagg_protocols.<protocol>`.

    Raises:
        ConfigError: one of its libraries is not installed; says how to install it.
    """
    try:
        return import_module(f"secagg_protocols.{protocol}")
    except ModuleNotFoundError as missing:
        name = (missing.name or "").partition(".")[0]
        if name not in LIBRARIES[protocol]:
            raise
        raise ConfigError(
            f"protocol {protocol} needs {name}, which is not installed: pip install 'secagg[{protocol}]'"
        ) from None
