"""Which version of a framework is installed: an adapter is written for one minor version, and says so."""

import re
from importlib.metadata import PackageNotFoundError, version

from secagg.errors import ConfigError


def check_version(package: str, supported: tuple[int, int], found: str | None) -> str:
    """Raise ConfigError unless `found`, the package's version or None, is of the `supported` minor; return it."""
    wanted = ".".join(map(str, supported))
    if found is None:
        raise ConfigError(f"{package} is not installed, expected {package} {wanted}: install secagg with its extra")
    numbers = re.match(r"(\d+)\.(\d+)(?:\D|$)", found)
    if numbers is None or (int(numbers[1]), int(numbers[2])) != supported:
        raise ConfigError(
            f"{package} {found} is installed, expected {wanted}: this version of secagg is tested with it alone"
        )
    return found


def installed(package: str) -> str | None:
    """The installed version, None where there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
