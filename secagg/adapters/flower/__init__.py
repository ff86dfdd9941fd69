"""Secure aggregation for Flower's Message API: a mod for the ClientApp, a wrapper for the ServerApp's strategy.

app = ClientApp(mods=[secagg_mod])
strategy = SecureAggregation(FedAvg(), weight_max=1000)

Importing this package raises ConfigError where another flwr than the supported one is installed, or none.
"""

from secagg.adapters.flower._installed import FLOWER
from secagg.adapters.flower.mod import SecAggMod, secagg_mod
from secagg.adapters.flower.strategy import SecureAggregation
from secagg.federation.outcome import Outcome

__all__ = ["FLOWER", "Outcome", "SecAggMod", "SecureAggregation", "secagg_mod"]
