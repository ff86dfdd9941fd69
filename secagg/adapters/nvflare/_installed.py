"""Which NVIDIA FLARE is installed."""

from secagg.adapters.installed import check_version, installed

SUPPORTED = (2, 9)
"""NVFLARE's minor version whose controllers, filters and recipes this adapter is tested against."""


def check_nvflare(found: str | None) -> str:
    """Raise ConfigError unless `found`, the installed nvflare's version or None, is a 2.9; return it."""
    return check_version("nvflare", SUPPORTED, found)


NVFLARE = check_nvflare(installed("nvflare"))
"""The installed version."""
