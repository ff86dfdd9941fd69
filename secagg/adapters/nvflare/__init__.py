"""Secure aggregation for NVIDIA FLARE: FedAvg on secure sums, and the sites' executor and filters.

recipe = FedAvgRecipe(...)
secure_aggregation(recipe, weight_max=1000)

Importing this package raises ConfigError where another nvflare than the supported one is installed, or none.
"""

from secagg.adapters.nvflare._installed import NVFLARE
from secagg.adapters.nvflare.client import SecAggExecutor, SecAggResultFilter, SecAggTaskFilter
from secagg.adapters.nvflare.controller import SecureFedAvg, SecureRounds
from secagg.adapters.nvflare.recipe import secure_aggregation
from secagg.federation.outcome import Outcome

__all__ = [
    "NVFLARE",
    "Outcome",
    "SecAggExecutor",
    "SecAggResultFilter",
    "SecAggTaskFilter",
    "SecureFedAvg",
    "SecureRounds",
    "secure_aggregation",
]
