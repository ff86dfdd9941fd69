"""The graph: both ends draw the same one, it is regular and hard to part, and its cores are the largest."""

import hashlib
from itertools import combinations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from secagg.errors import OutOfRange
from secagg.primitives import prg
from secagg_protocols.pairwise.graph import core, harary, permutation

ADVERTISEMENTS = [b"first", b"", b"third\x00", bytes(64)]


def by_hand(advertisements, m):
    """The definition once more, block by block in AES-ECB and with Python's sort."""
    parts = [b"secagg pairwise graph v1"]
    for advertisement in advertisements:
        parts += [len(advertisement).to_bytes(8, "little"), advertisement]
    key = hashlib.sha256(b"".join(parts)).digest()[:16]
    block = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    stream = b"".join(block.update(i.to_bytes(16, "big")) for i in range(m // 2 + 1))
    return sorted(range(m), key=lambda i: int.from_bytes(stream[8 * i : 8 * i + 8], "little"))


@pytest.mark.parametrize("m", [1, 2, 3, 4, 17, 1000])
def test_permutation_is_the_one_defined(m):
    order = permutation(ADVERTISEMENTS, m)
    assert order.dtype == np.int64
    assert order.tolist() == by_hand(ADVERTISEMENTS, m)


def test_permutation_stays_what_it_was():
    assert permutation([bytes([i]) * 64 for i in range(8)], 8).tolist() == [4, 6, 1, 2, 5, 0, 7, 3]


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(1, 200))
def test_permutation_is_a_permutation_and_repeats(advertisements, m):
    order = permutation(iter(advertisements), m)
    assert sorted(order.tolist()) == list(range(m))
    assert np.array_equal(order, permutation(advertisements, m))


@pytest.mark.parametrize(
    "other",
    [[b"bc", b"a"], [b"ab", b"c"], [b"abc"], [b"a", b"bc", b""], [b"a"], [b"a", b"bd"]],
)
def test_permutation_depends_on_content_order_and_bounds_of_the_advertisements(other):
    assert not np.array_equal(permutation([b"a", b"bc"], 64), permutation(other, 64))


def test_equal_words_keep_session_order(monkeypatch):
    monkeypatch.setattr(prg, "keystream", lambda seed, n, dtype: np.arange(n, dtype=dtype) % 7)
    assert permutation([b"x"], 1000).tolist() == sorted(range(1000), key=lambda i: i % 7)


@pytest.mark.parametrize("m", [0, -1])
def test_permutation_of_nobody_is_refused(m):
    with pytest.raises(OutOfRange, match="m must be at least 1"):
        permutation([], m)


@st.composite
def circles(draw, least=1, most=30):
    return np.array(draw(st.permutations(range(draw(st.integers(least, most))))), dtype=np.int64)


@given(circles(least=4), st.data())
def test_harary_joins_exactly_those_at_most_half_the_degree_apart(order, data):
    m = order.size
    degree = 2 * data.draw(st.integers(1, (m - 2) // 2))
    adjacency = harary(order, degree)
    position = np.argsort(order)
    apart = np.abs(position[:, None] - position)
    joined = (np.minimum(apart, m - apart) <= degree // 2) & ~np.eye(m, dtype=bool)
    assert adjacency.shape == (m, degree)
    assert adjacency.dtype == np.int64
    assert [np.flatnonzero(row).tolist() for row in joined] == adjacency.tolist()


@given(circles(), st.integers(1, 40))
def test_harary_is_regular_symmetric_and_without_loops(order, degree):
    m = order.size
    degree = degree if degree >= m - 1 else degree + degree % 2
    adjacency = harary(order, degree)
    assert adjacency.shape == (m, min(degree, m - 1))
    edges = {(i, int(j)) for i, row in enumerate(adjacency) for j in row}
    assert len(edges) == adjacency.size  # no neighbour twice
    assert all(i != j and (j, i) in edges for i, j in edges)
    assert np.array_equal(adjacency, np.sort(adjacency, axis=1))


@pytest.mark.parametrize(("m", "degree"), [(1, 0), (2, 1), (5, 4), (5, 40), (6, 5), (3, 2)])
def test_harary_is_complete_where_the_degree_allows(m, degree):
    expected = [[j for j in range(m) if j != i] for i in range(m)]
    assert harary(np.arange(m)[::-1], degree).tolist() == expected


@pytest.mark.parametrize(("m", "degree"), [(9, 2), (9, 4), (8, 6), (10, 4)])
def test_removing_fewer_nodes_than_the_degree_never_parts_it(m, degree):
    adjacency = harary(np.arange(m), degree)
    for removed in combinations(range(m), degree - 1):
        assert is_connected(adjacency, set(range(m)) - set(removed))
    assert not is_connected(adjacency, set(range(m)) - set(adjacency[0].tolist()))


def is_connected(adjacency, nodes):
    found, edge = set(), {min(nodes)}
    while edge:
        found |= edge
        edge = {int(j) for i in edge for j in adjacency[i]} & nodes - found
    return found == nodes


@pytest.mark.parametrize("degree", [-2, 0, 1, 3, 7])
def test_degrees_that_no_circle_has_are_refused(degree):
    with pytest.raises(OutOfRange, match="degree must be even"):
        harary(np.arange(10), degree)


@pytest.mark.parametrize("order", [[0, 0, 1], [1, 2, 3], [-1, 0, 1], [[0, 1], [2, 3]]])
def test_an_order_that_is_no_permutation_is_refused(order):
    with pytest.raises(OutOfRange, match="permutation"):
        harary(np.array(order), 2)


@st.composite
def cohorts(draw):
    order = draw(circles(least=2, most=9))
    degree = draw(st.sampled_from([2, 4, 6, 8]))
    alive = np.array(draw(st.lists(st.booleans(), min_size=order.size, max_size=order.size)))
    return harary(order, degree), alive, draw(st.integers(0, 9)), draw(st.booleans())


def suffices(adjacency, nodes, threshold, includes_self):
    return all(len(nodes & set(adjacency[i].tolist())) + includes_self >= threshold for i in nodes)


@settings(max_examples=150)
@given(cohorts())
def test_core_is_the_union_of_all_sets_that_suffice_and_is_one(cohort):
    adjacency, alive, threshold, includes_self = cohort
    before = alive.copy()
    kept = core(adjacency, alive, threshold, includes_self)
    living = np.flatnonzero(alive).tolist()
    union = set()
    for size in range(len(living) + 1):
        for nodes in map(set, combinations(living, size)):
            if suffices(adjacency, nodes, threshold, includes_self):
                union |= nodes
    assert set(np.flatnonzero(kept).tolist()) == union
    assert suffices(adjacency, union, threshold, includes_self)
    assert kept.dtype == np.bool_
    assert np.array_equal(alive, before)


@given(cohorts())
def test_core_of_a_core_is_itself(cohort):
    adjacency, alive, threshold, includes_self = cohort
    kept = core(adjacency, alive, threshold, includes_self)
    assert np.array_equal(core(adjacency, kept, threshold, includes_self), kept)


def test_core_of_the_complete_graph_is_all_or_nothing():
    adjacency, alive = harary(np.arange(10), 9), np.arange(10) < 7
    assert np.array_equal(core(adjacency, alive, 7, includes_self=True), alive)
    assert not core(adjacency, alive, 8, includes_self=True).any()
    assert not core(adjacency, alive, 7, includes_self=False).any()


def test_one_loss_can_unravel_ten_thousand_nodes_one_by_one():
    adjacency = harary(permutation([b"ring"], 10_000), 2)
    alive = np.ones(10_000, dtype=bool)
    assert core(adjacency, alive, 2, includes_self=False).all()
    alive[17] = False
    assert not core(adjacency, alive, 2, includes_self=False).any()
    assert np.array_equal(core(adjacency, alive, 2, includes_self=True), alive)


def test_core_of_a_large_cohort_is_the_dense_half_of_the_circle():
    order = permutation([b"large"], 10_000)
    adjacency = harary(order, 200)
    alive = permutation([b"lost"], 10_000) % 3 > 1
    alive[order[:5000]] = True
    kept = core(adjacency, alive, 100, includes_self=False)
    assert kept[order[:5000]].all()
    assert kept.sum() < alive.sum()
    assert (kept[adjacency].sum(axis=1)[kept] >= 100).all()
