"""Secure aggregation: a server learns the sum of its clients' vectors and nothing else.

import secagg
from secagg_protocols import PairwiseMasking

out = secagg.aggregate({"a": x, "b": y, "c": z}, scheme=PairwiseMasking())
out.mean
"""

from secagg.api import Aggregate, Coordinator, Journal, Participant, Prepared, aggregate, prepare
from secagg.encoding.encoding import ABSTAIN
from secagg.errors import PartyId, SecaggError, TooFew
from secagg.scheme import Credentials, Draw, Ledger, Policy, Roster, Seat, Session, Store

__version__ = "0.1.0"
__all__ = [
    "ABSTAIN",
    "Aggregate",
    "Coordinator",
    "Credentials",
    "Draw",
    "Journal",
    "Ledger",
    "Participant",
    "PartyId",
    "Policy",
    "Prepared",
    "Roster",
    "Seat",
    "SecaggError",
    "Session",
    "Store",
    "TooFew",
    "__version__",
    "aggregate",
    "prepare",
]
