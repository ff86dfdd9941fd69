"""The engine: drives any scheme's machines over bytes. No sockets and no clocks either; the caller has those."""

from secagg.engine.party import RoundParty
from secagg.engine.server import RoundServer

__all__ = ["RoundParty", "RoundServer"]
