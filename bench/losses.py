"""Who goes silent in a round: spread evenly on the circle of the graph, so that a threshold stands where it can.

Random losses pile up here and there: with n = 100, k = 30, t = 21 and 29 lost, some client nearly always keeps fewer
than 21 of its 30 neighbours and the round ends in `TooFew`. Evenly spread, every client keeps 21 or more. With 30 lost
none can: each would have to lose exactly 9, which on this circle only patterns of period 5 do, and they lose 20 or 40.
"""

from collections.abc import Mapping

from secagg import Session
from secagg.errors import PartyId
from secagg.scheme import Scheme
from secagg.testing.round import opened
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise import graph
from secagg_protocols.pairwise.messages import Keys


def circle(scheme: Scheme, session: Session, first: Mapping[PartyId, bytes]) -> list[PartyId]:
    """The clients, as they stand in the graph that the replies to the first phase decide; where there is none, in the
    session's order.
    """
    parties = [party for party in session.parties if party in scheme.clients(session)]
    if not isinstance(scheme, PairwiseMasking):
        return parties
    parties = [party for party in parties if party in first]
    keys = [opened(first[party], Keys) for party in parties]
    order = graph.permutation([one.sealing + one.mask + one.signature for one in keys], len(parties))
    return [parties[place] for place in order]


def spread(circle: int, lost: int) -> list[int]:
    """`lost` places of a circle, evenly spaced, ascending."""
    return [place * circle // lost for place in range(lost)]
