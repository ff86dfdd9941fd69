"""Who is whose neighbour: the graph over those who advertised keys, and who of them can go on together."""

from collections.abc import Mapping, Set

import numpy as np
from numpy.typing import NDArray

from secagg.spans import span
from secagg.wire.packed import check_rows
from secagg_protocols.pairwise import graph
from secagg_protocols.pairwise.messages import HASH_SIZE, SEALED_SIZE
from secagg_protocols.pairwise.parameters import Parameters


class Neighbourhoods:
    """The graph that the key advertisements {index: bytes} (at least two) fix.

    Attributes:
        neighbours: {index: neighbours' indices, ascending}.
        holders: {index: who holds shares of its secrets, ascending}: the neighbours, and in the complete graph
            the dealer itself.
    """

    def __init__(self, advertisements: Mapping[int, bytes], parameters: Parameters) -> None:
        self._parameters = parameters
        self._nodes = np.array(sorted(advertisements), np.int64)
        order = graph.permutation([advertisements[int(i)] for i in self._nodes], self._nodes.size)
        self._adjacency = graph.harary(order, parameters.degree)
        rows = self._nodes[self._adjacency].tolist()
        self.neighbours: dict[int, list[int]] = dict(zip(self._nodes.tolist(), rows, strict=True))
        self.holders = dict.fromkeys(self.neighbours, self._nodes.tolist()) if parameters.complete else self.neighbours

    def turned_boxes(self, sent: Mapping[int, bytes]) -> "Turned":
        """By holder, what each dealer sealed for its neighbours."""
        return Turned(sent, SEALED_SIZE, self.neighbours)

    def turned_hashes(self, sent: Mapping[int, bytes]) -> "Turned":
        """By holder, what each dealer published of its holders' shares."""
        return Turned(sent, 2 * HASH_SIZE, self.holders)

    def core(self, alive: Set[int]) -> frozenset[int]:
        """The largest part of `alive` in which each finds `threshold` holders.

        The others are left behind now, before any mask is shared with them: nobody could remove it later.
        """
        return self._core(alive, self._parameters.threshold)

    def most_holders(self, alive: Set[int]) -> int:
        """The largest number of holders that each of some part of `alive` finds within that part."""
        return max((t for t in range(1, self._parameters.threshold) if self._core(alive, t)), default=0)

    def _core(self, alive: Set[int], holders: int) -> frozenset[int]:
        present = np.isin(self._nodes, list(alive))
        return frozenset(self._nodes[graph.core(self._adjacency, present, holders, self._parameters.complete)].tolist())


class Turned:
    """Rows that dealers sent, one for each holder, read the other way round: one from each dealer.

    Args:
        sent: {dealer: its rows, one for each of `to[dealer]`}; of those who sent nothing, zeros are read.
        size: bytes of a row.
        to: {dealer: holders, ascending}; dealers ascend too, each has as many holders and is a dealer of each.

    Raises WireError for rows of another size, which only saved state can hold: what arrives is checked.
    """

    @span("relay and lookup of rows")
    def __init__(self, sent: Mapping[int, bytes], size: int, to: Mapping[int, list[int]]) -> None:
        dealers, holders = np.array(list(to), np.int64), np.array(list(to.values()), np.int64)
        nothing = bytes(size * holders.shape[1])
        rows = [sent.get(dealer, nothing) for dealer in to]
        for row in rows:
            check_rows(row, size, holders.shape[1], "rows of saved state")
        data = b"".join(rows)
        self._rows = np.frombuffer(data, np.uint8).reshape(holders.size, size)
        # Edges stand in the order of (dealer, holder). Sorted by (holder, dealer), each takes the place of its reverse.
        reverse = np.lexsort((np.repeat(dealers, holders.shape[1]), holders.ravel()))
        self._reverse = dict(zip(to, reverse.reshape(holders.shape), strict=True))
        self._dealers = dict(zip(to, holders, strict=True))  # of each holder: each is a holder of each

    @span("relay and lookup of rows")
    def of(self, holder: int, among: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """(d, size): the rows for `holder` of those of its dealers that are in `among`, (n,) bits, ascending."""
        rows: NDArray[np.uint8] = self._rows[self._reverse[holder][among[self._dealers[holder]]]]
        return rows


def neighbours_of(me: int, advertisements: Mapping[int, bytes], parameters: Parameters) -> list[int]:
    """One row of the graph, ascending: what a client needs of it."""
    nodes = np.array(sorted(advertisements), np.int64)
    order = graph.permutation([advertisements[int(i)] for i in nodes], nodes.size)
    row = graph.harary_row(order, parameters.degree, int(np.searchsorted(nodes, me)))
    return [int(i) for i in nodes[row]]
