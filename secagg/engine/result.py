"""What a round yields."""

from dataclasses import dataclass, field

from secagg.encoding.encoding import Decoded
from secagg.errors import PartyId

PhaseRole = tuple[str, str]
"""(phase, "client" or "server")."""


@dataclass(frozen=True)
class Aggregate(Decoded):
    """The sum over the contributors, decoded, and how it came about.

    Attributes:
        contributors: who is in the sum.
        lost: {party: phase} of all who went silent or sent what could not be used, and where first; one that was lost
            at the last phase, or in another role than a client's, is in the sum all the same.
        misbehaved: {party: why} of those whose message broke the protocol.
        accused: {party: why} of those of whom others say so, who may lie.
        traffic: {(phase, role): bytes sent}, median over clients, total for the server.
        seconds: {(phase, role): seconds spent}, the same way; of the server alone where clients are elsewhere.
    """

    contributors: frozenset[PartyId]
    lost: dict[PartyId, str] = field(default_factory=dict)
    misbehaved: dict[PartyId, str] = field(default_factory=dict)
    accused: dict[PartyId, str] = field(default_factory=dict)
    traffic: dict[PhaseRole, float] = field(default_factory=dict)
    seconds: dict[PhaseRole, float] = field(default_factory=dict)
