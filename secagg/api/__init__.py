"""The public interface: `aggregate` for all parties in one process, `Coordinator` and `Participant` for each end,
`prepare` for what a party sends ahead, `Journal` for their state on disk."""

from secagg.api.ends import Coordinator, Participant
from secagg.api.journal import Journal
from secagg.api.prepared import Prepared, prepare
from secagg.api.result import Aggregate
from secagg.api.simulation import aggregate

__all__ = ["Aggregate", "Coordinator", "Journal", "Participant", "Prepared", "aggregate", "prepare"]
