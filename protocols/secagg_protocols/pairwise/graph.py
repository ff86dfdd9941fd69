"""Who is whose neighbour: Harary's regular graph on a permutation that all advertised keys decide together.

Bell et al., "Secure Single-Server Aggregation with (Poly)Logarithmic Overhead", CCS 2020. Nodes are indices
0..m-1 of the cohort in session order. Everything here is public and the same at both ends.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from secagg.errors import OutOfRange
from secagg.primitives import prg

_LABEL = b"secagg pairwise graph v1"


def permutation(advertisements: Iterable[bytes], m: int) -> NDArray[np.int64]:
    """A permutation of m nodes that no advertiser can steer without trying whole graphs.

    The seed is the first 16 bytes of SHA-256 over a label and the advertisements, each behind its length (8
    bytes, little-endian); the permutation is the stable argsort of m 64-bit words of the seed's keystream.

    Args:
        advertisements: the encoded key advertisements, in session order.
        m: nodes, at least 1.

    Returns:
        (m,) int64: the node at each position of the circle.

    Raises:
        OutOfRange: m is below 1.
    """
    if m < 1:
        raise OutOfRange(f"permutation: m must be at least 1, got {m}")
    digest = hashlib.sha256(_LABEL)
    for advertisement in advertisements:
        digest.update(len(advertisement).to_bytes(8, "little"))
        digest.update(advertisement)
    words = prg.keystream(digest.digest()[:16], m, np.uint64)
    return np.argsort(words, kind="stable").astype(np.int64, copy=False)


def harary(order: NDArray[np.int64], degree: int) -> NDArray[np.int64]:
    """The graph that joins the node at each position of a circle to the degree/2 nodes on either side.

    It takes the removal of `degree` nodes to part it (Harary 1962).

    Args:
        order: (m,) int64, the node at each position; a permutation of 0..m-1.
        degree: neighbours of each node; even and at least 2. From m - 1 on, of any parity, the graph is
            complete.

    Returns:
        (m, min(degree, m - 1)) int64: row i holds the neighbours of node i in ascending order.

    Raises:
        OutOfRange: `order` is not a permutation, or `degree` is odd or below 2 and short of m - 1.
    """
    _check(order, degree)
    m = order.size
    if degree >= m - 1:
        return _complete(m)
    adjacency = np.empty((m, degree), dtype=np.int64)
    adjacency[order] = order[(np.arange(m)[:, None] + _steps(degree)) % m]
    adjacency.sort(axis=1)
    return adjacency


def harary_row(order: NDArray[np.int64], degree: int, node: int) -> NDArray[np.int64]:
    """Row `node` of `harary(order, degree)`, without the others."""
    _check(order, degree)
    m = order.size
    if degree >= m - 1:
        return np.delete(np.arange(m), node)
    position = int(np.flatnonzero(order == node)[0])
    return np.sort(order[(position + _steps(degree)) % m])


def _check(order: NDArray[np.int64], degree: int) -> None:
    m = order.size
    if order.ndim != 1 or not np.array_equal(np.sort(order), np.arange(m)):
        raise OutOfRange(f"harary: order must be a permutation of 0..{m - 1}")
    if degree < m - 1 and (degree < 2 or degree % 2):
        raise OutOfRange(f"harary: degree must be even and at least 2, or at least {m - 1}, got {degree}")


def _steps(degree: int) -> NDArray[np.int64]:
    """From a position to those of its neighbours."""
    aside = np.arange(1, degree // 2 + 1)
    return np.concatenate([-aside, aside])


def core(
    adjacency: NDArray[np.int64], alive: NDArray[np.bool_], threshold: int, includes_self: bool
) -> NDArray[np.bool_]:
    """The largest set of living nodes in which each finds at least `threshold` holders of its secrets.

    Holders of a node are its neighbours in the set, and itself when `includes_self`. Sets with that
    property are closed under union, so there is one largest (a k-core: Seidman 1983); it is what remains
    when nodes short of holders leave until none is short. The order of leaving does not matter, and each
    edge is looked at once.

    Args:
        adjacency: (m, k) int64, neighbours of each node; symmetric, as `harary` gives it.
        alive: (m,) bool, not changed.
        threshold: holders needed.
        includes_self: whether a node holds a share of its own secrets.

    Returns:
        (m,) bool, a subset of `alive`; possibly empty.
    """
    kept = alive.copy()
    holders = alive[adjacency].sum(axis=1, dtype=np.int64) + int(includes_self)
    leaving = np.flatnonzero(kept & (holders < threshold))
    while leaving.size:
        kept[leaving] = False
        bereft = adjacency[leaving].ravel()
        np.subtract.at(holders, bereft, 1)
        leaving = np.unique(bereft[kept[bereft] & (holders[bereft] < threshold)])
    return kept


def _complete(m: int) -> NDArray[np.int64]:
    """(m, m - 1) int64: row i holds all nodes but i."""
    others = np.arange(m - 1)
    return others + (others >= np.arange(m)[:, None])
