"""The engine: drives any scheme's steps over bytes, one object for each end. No sockets and no deadlines: the caller
has those.
"""

from secagg.engine.party import Participant
from secagg.engine.prepared import Prepared, prepare
from secagg.engine.result import Aggregate
from secagg.engine.server import Coordinator

__all__ = ["Aggregate", "Coordinator", "Participant", "Prepared", "prepare"]
