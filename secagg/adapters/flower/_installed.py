"""Which Flower is installed."""

from functools import partial

from secagg.adapters.installed import check_version, installed

check_flower = partial(check_version, "flwr", (1, 41))
"""Whether a version is of the minor whose Message API, strategies and mods this adapter is tested against."""
FLOWER = check_flower(installed("flwr"))
"""The installed version."""
