"""The public interface: `aggregate` for all parties in one process, `Coordinator` and `Participant` for each end,
`prepare` for what a party sends ahead, `Journal` for what they keep on disk.
"""

from secagg.api.journal import Journal
from secagg.api.local import aggregate
from secagg.engine import Aggregate, Coordinator, Participant, Prepared, prepare

__all__ = ["Aggregate", "Coordinator", "Journal", "Participant", "Prepared", "aggregate", "prepare"]
