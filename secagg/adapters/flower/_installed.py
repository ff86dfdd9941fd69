"""Which Flower is installed: this adapter is written for one minor version, and says so instead of breaking oddly."""

import re
from importlib.metadata import PackageNotFoundError, version

from secagg.errors import ConfigError

SUPPORTED = (1, 41)
"""Flower's minor version whose Message API, strategies and mods this adapter is tested against."""


def check_flower(found: str | None) -> str:
    """Raise ConfigError unless `found`, the installed flwr's version or None, is a 1.41; return it."""
    wanted = ".".join(map(str, SUPPORTED))
    if found is None:
        raise ConfigError(f"flwr is not installed, expected flwr {wanted}: install secagg with its extra `flower`")
    numbers = re.match(r"(\d+)\.(\d+)(?:\D|$)", found)
    if numbers is None or (int(numbers[1]), int(numbers[2])) != SUPPORTED:
        raise ConfigError(
            f"flwr {found} is installed, expected {wanted}: this version of secagg is tested with it alone"
        )
    return found


def _installed() -> str | None:
    try:
        return version("flwr")
    except PackageNotFoundError:
        return None


FLOWER = check_flower(_installed())
"""The installed version."""
