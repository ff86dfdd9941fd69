"""Which Flower is installed."""

from secagg.adapters.installed import check_version, installed

SUPPORTED = (1, 41)
"""Flower's minor version whose Message API, strategies and mods this adapter is tested against."""


def check_flower(found: str | None) -> str:
    """Raise ConfigError unless `found`, the installed flwr's version or None, is a 1.41; return it."""
    return check_version("flwr", SUPPORTED, found)


FLOWER = check_flower(installed("flwr"))
"""The installed version."""
