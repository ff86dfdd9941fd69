"""Which NVIDIA FLARE is installed."""

from functools import partial

from secagg.adapters.installed import check_version, installed

check_nvflare = partial(check_version, "nvflare", (2, 9))
"""Whether a version is of the minor whose controllers, filters and recipes this adapter is tested against."""
NVFLARE = check_nvflare(installed("nvflare"))
"""The installed version."""
