"""Why `threshold` signatures from a client's own holders suffice: all ways of splitting small cohorts, tried.

t shares open a secret, k hold shares of it, at most c of them are corrupt: those answer any question and sign any set.
An honest client signs one set, answers about that set only (of those inside it a share of the seed, of those outside
one of the mask key), and only once t of its own holders have signed it. Let 2 t > k + c.

* No client loses both secrets: t shares of each need 2 (t - c) honest holders, and there are k - c.
* Who may answer cannot be left out: t - c honest holders signed with it, so they say that it is in. That leaves k - t
  honest ones who may say that it is out, and k - t + c < t.
* So an honest client's vector is only ever opened in a sum with t - c more: t - c honest holders answered for its
  seed, none of those can be left out, and no mask with them can be removed.

The last point is what a signature is for: where honest clients answer for whatever set they are shown, each of a
client's neighbours can be shown a set of its own, and all masks around one vector come off.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pytest

from secagg_protocols.pairwise import graph

N, K = 6, 4
"""A regular graph: each client's neighbours are all but the one opposite."""
NEIGHBOURS = {i: set(row.tolist()) for i, row in enumerate(graph.harary(np.arange(N), K))}

Labels = Mapping[int, str | None]
"""{honest client: the set that it signed, None where it is silent}."""


@pytest.mark.parametrize("k", range(2, 8))
def test_no_split_of_the_holders_gives_both_secrets_of_a_client(k: int) -> None:
    """Every honest holder is asked for the seed's share, for the mask key's, or not at all."""
    for c in range(k + 1):
        most = 0
        for asked in product(("seed", "key", None), repeat=k - c):
            most = max(most, min(asked.count("seed"), asked.count("key")) + c)
        for t in range(1, k + 1):
            assert (most >= t) == (2 * t <= k + c), (k, c, t)


@dataclass(frozen=True)
class Split:
    """What a server makes of the graph: `labels` of the honest clients, the others being corrupt.

    Attributes:
        labels: who signed which set.
        threshold: t.
        signed: whether clients want t signatures of their own holders before they answer.
    """

    labels: Labels
    threshold: int
    signed: bool = True

    def honest(self, i: int) -> list[int]:
        """Client i's honest neighbours."""
        return [j for j in NEIGHBOURS[i] if j in self.labels]

    def corrupt(self, i: int) -> int:
        """How many of its neighbours are corrupt."""
        return K - len(self.honest(i))

    def answers(self, i: int) -> bool:
        """Whether the honest client i reveals shares."""
        label = self.labels[i]
        if label is None:
            return False
        alike = sum(self.labels[j] == label for j in self.honest(i))
        return not self.signed or alike + self.corrupt(i) >= self.threshold

    def choices(self, i: int) -> Iterator[Mapping[str, bool]]:
        """All ways of placing client i in the sets that were signed: {set: whether i is in it}."""
        sets = sorted({label for label in self.labels.values() if label is not None})
        for places in product((False, True), repeat=len(sets)):
            chosen = dict(zip(sets, places, strict=True))
            if chosen.get(self.labels[i] or "", True):  # it signs no set without itself
                yield chosen

    def opened(self, i: int, places: Mapping[str, bool]) -> tuple[bool, bool]:
        """Whether client i's seed and its mask key are opened."""
        told = [places[self.labels[j] or ""] for j in self.honest(i) if self.answers(j)]
        inside, outside = sum(told), len(told) - sum(told)
        return inside + self.corrupt(i) >= self.threshold, outside + self.corrupt(i) >= self.threshold

    def can(self, i: int) -> tuple[bool, bool, bool]:
        """Whether some placing opens client i's seed, its mask key, or both."""
        ways = [self.opened(i, places) for places in self.choices(i)]
        return any(seed for seed, _ in ways), any(key for _, key in ways), (True, True) in ways


def splits(corrupt: Set[int], threshold: int, sets: Sequence[str]) -> Iterator[Split]:
    """All ways of giving each honest client one of the sets, or none."""
    honest = [i for i in range(N) if i not in corrupt]
    for labels in product((None, *sets), repeat=len(honest)):
        used = [label for label in dict.fromkeys(labels) if label is not None]
        if used == sorted(used):  # the others only rename the sets
            yield Split(dict(zip(honest, labels, strict=True)), threshold)


def alone(split: Split, most: int) -> set[int] | None:
    """At most `most` honest clients whose summed vectors the server can open, all masks to others removed."""
    can = {i: split.can(i) for i in split.labels}
    for count in range(1, most + 1):
        for few in combinations([i for i in can if can[i][0]], count):
            around = {j for i in few for j in split.honest(i)} - set(few)
            if all(can[j][1] for j in around):
                return set(few)
    return None


@pytest.mark.parametrize(
    ("corrupt", "threshold"), [(set(), 3), (set(), 4), ({0}, 3), ({0}, 4), ({0, 1}, 4), ({0, 3}, 4)]
)
@pytest.mark.parametrize("sets", ["AB", "ABC"])
def test_no_split_of_a_regular_graph_helps(corrupt: set[int], threshold: int, sets: str) -> None:
    c = max(len(NEIGHBOURS[i] & corrupt) for i in range(N) if i not in corrupt)
    assert 2 * threshold > K + c
    answering = set()
    for split in splits(corrupt, threshold, sets):
        for i in split.labels:
            _, key, both = split.can(i)
            assert not both, (split, i)
            assert not (key and split.answers(i)), (split, i)
        assert alone(split, threshold - c) is None, split
        answering.add(sum(map(split.answers, split.labels)))
    assert {0, N - len(corrupt)} <= answering


@pytest.mark.parametrize(("corrupt", "threshold"), [(set(), 1), (set(), 2), ({0}, 2), ({0, 1}, 2), ({0, 3}, 2)])
def test_a_smaller_threshold_loses_both_secrets_of_a_client(corrupt: set[int], threshold: int) -> None:
    """Signatures or not: t of the holders sign one set, t another."""
    assert 2 * threshold <= K
    assert any(split.can(i)[2] for split in splits(corrupt, threshold, "AB") for i in split.labels)


@pytest.mark.parametrize("threshold", [3, 4])
def test_without_the_signatures_one_vector_stands_alone(threshold: int) -> None:
    """No corrupt client, and t more than half: each client is shown a set of its own, and obeys."""
    labels = dict(enumerate("ABCDEF"))
    obeying = Split(labels, threshold, signed=False)
    assert alone(obeying, 1) == {0}
    assert not any(obeying.can(i)[2] for i in labels)  # and yet nobody loses both secrets
    quorum = Split(labels, threshold)
    assert not any(map(quorum.answers, labels))
    assert alone(quorum, N) is None
