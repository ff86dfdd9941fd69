"""What a protocol is: a `Session` that all agree on, a table of phases, and one pure machine for each end."""

from secagg.scheme.credentials import Credentials
from secagg.scheme.draw import Draw
from secagg.scheme.ledger import Ledger
from secagg.scheme.machine import Answer, PartySide, Phase, Present, Scheme, ServerStage, Step, Sum
from secagg.scheme.policy import Policy
from secagg.scheme.roster import Roster
from secagg.scheme.seat import Seat
from secagg.scheme.session import Session
from secagg.scheme.slot import RoundSlot
from secagg.scheme.store import Store

__all__ = [
    "Answer",
    "Credentials",
    "Draw",
    "Ledger",
    "PartySide",
    "Phase",
    "Policy",
    "Present",
    "Roster",
    "RoundSlot",
    "Scheme",
    "Seat",
    "ServerStage",
    "Session",
    "Step",
    "Store",
    "Sum",
]
