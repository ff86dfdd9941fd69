"""What a round yields."""

from dataclasses import dataclass, field

from secagg.encoding.layout import Update
from secagg.encoding.ring import Lanes
from secagg.errors import PartyId
from secagg.scheme import Session, Sum

PhaseRole = tuple[str, str]
"""(phase, "client" or "server")."""


@dataclass(frozen=True)
class Aggregate:
    """The sum over the contributors, and how it came about.

    Attributes:
        mean: the update's structure; weighted where the session has weights (integer arrays are never weighted).
        sum: the same structure: of clipped floats (times weights) as float64, of integers exactly.
        ring_sum: (entries,) unsigned, the exact sum of the update's ring values.
        error_bound: largest possible |mean - true mean of the clipped updates| of the floats, a number, or the
            update's structure where clips differ; an integer array's mean is the float64 nearest to the exact one.
        contributors: who is in the sum.
        lost: {party: phase} of all who went silent or sent what could not be used; one that was lost at the last
            phase is in the sum all the same.
        misbehaved: {party: why} of those whose message broke the protocol.
        accused: {party: why} of those of whom others say so, who may lie.
        saturated: entries clipped, all contributors together.
        weight: sum of the contributors' weights, or their number.
        traffic: {(phase, role): bytes sent}, median over clients, total for the server.
        seconds: {(phase, role): seconds spent}, the same way; of the server alone where clients are elsewhere.
    """

    mean: Update
    sum: Update
    ring_sum: Lanes
    error_bound: Update
    contributors: frozenset[PartyId]
    lost: dict[PartyId, str]
    misbehaved: dict[PartyId, str]
    accused: dict[PartyId, str]
    saturated: int
    weight: int
    traffic: dict[PhaseRole, float] = field(default_factory=dict)
    seconds: dict[PhaseRole, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        session: Session,
        total: Sum,
        lost: dict[PartyId, str],
        misbehaved: dict[PartyId, str],
        accused: dict[PartyId, str],
        traffic: dict[PhaseRole, float],
        seconds: dict[PhaseRole, float],
    ) -> "Aggregate":
        """Decode the ring sum of one round. Raises PeerMisbehaved where a lie inside the ring shows in the weights."""
        decoded = session.encoding.decode(total.vector, len(total.contributors))
        return cls(
            mean=decoded.mean,
            sum=decoded.sum,
            ring_sum=decoded.ring_sum,
            error_bound=decoded.error_bound,
            contributors=total.contributors,
            lost=dict(lost),
            misbehaved=dict(misbehaved),
            accused=dict(accused),
            saturated=decoded.saturated,
            weight=decoded.weight,
            traffic=traffic,
            seconds=seconds,
        )
