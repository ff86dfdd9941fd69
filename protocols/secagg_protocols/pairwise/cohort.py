"""Who is whose neighbour: the graph over those who advertised keys, and who of them can go on together."""

from bisect import bisect_left
from collections.abc import Mapping, Set

import numpy as np

from secagg_protocols.pairwise import graph
from secagg_protocols.pairwise.terms import Terms


class Cohort:
    """The graph that the key advertisements {index: bytes} (at least two) fix.

    Attributes:
        neighbours: {index: neighbours' indices, ascending}.
        holders: {index: who holds shares of its secrets, ascending}: the neighbours, and in the complete graph
            the dealer itself.
    """

    def __init__(self, advertisements: Mapping[int, bytes], terms: Terms) -> None:
        self._terms = terms
        self._nodes = np.array(sorted(advertisements), np.int64)
        order = graph.permutation([advertisements[int(i)] for i in self._nodes], self._nodes.size)
        self._adjacency = graph.harary(order, terms.degree)
        rows = self._nodes[self._adjacency].tolist()
        self.neighbours: dict[int, list[int]] = dict(zip(self._nodes.tolist(), rows, strict=True))
        self.holders = dict.fromkeys(self.neighbours, self._nodes.tolist()) if terms.complete else self.neighbours

    def place_among_neighbours(self, dealer: int, holder: int) -> int:
        """Which row of what the dealer sealed is the holder's."""
        return bisect_left(self.neighbours[dealer], holder)

    def place_among_holders(self, dealer: int, holder: int) -> int:
        """Which row of the hashes that the dealer published is the holder's."""
        return bisect_left(self.holders[dealer], holder)

    def core(self, alive: Set[int]) -> frozenset[int]:
        """The largest part of `alive` in which each finds `threshold` holders.

        The others are left behind now, before any mask is shared with them: nobody could remove it later.
        """
        return self._core(alive, self._terms.threshold)

    def most_holders(self, alive: Set[int]) -> int:
        """The largest number of holders that each of some part of `alive` finds within that part."""
        return max((t for t in range(1, self._terms.threshold) if self._core(alive, t)), default=0)

    def _core(self, alive: Set[int], holders: int) -> frozenset[int]:
        present = np.isin(self._nodes, list(alive))
        return frozenset(self._nodes[graph.core(self._adjacency, present, holders, self._terms.complete)].tolist())


def neighbours_of(me: int, advertisements: Mapping[int, bytes], terms: Terms) -> list[int]:
    """One row of the graph, ascending: what a client needs of it."""
    nodes = np.array(sorted(advertisements), np.int64)
    order = graph.permutation([advertisements[int(i)] for i in nodes], nodes.size)
    row = graph.harary_row(order, terms.degree, int(np.searchsorted(nodes, me)))
    return [int(i) for i in nodes[row]]
