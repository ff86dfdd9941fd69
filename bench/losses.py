"""Who goes silent in a round: spread evenly on the circle of the graph, so that a threshold stands where it can.

Random losses pile up here and there: with n = 100, k = 30, t = 21 and 29 lost, some client nearly always keeps fewer
than 21 of its 30 neighbours and the round ends in `TooFew`. Evenly spread, every client keeps 21 or more. With 30 lost
none can: each would have to lose exactly 9, which on this circle only patterns of period 5 do, and they lose 20 or 40.
"""


def spread(circle: int, lost: int) -> list[int]:
    """`lost` places of a circle, evenly spaced, ascending."""
    return [place * circle // lost for place in range(lost)]
