"""The public interface: `aggregate` for all parties in one process, `Coordinator` and `Participant` for each end,
`Journal` for their state on disk."""

from secagg.api.ends import Coordinator, Participant
from secagg.api.journal import Journal
from secagg.api.result import Aggregate
from secagg.api.simulation import aggregate

__all__ = ["Aggregate", "Coordinator", "Journal", "Participant", "aggregate"]
