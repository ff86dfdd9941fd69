"""What a weighted sum says to a server that knows the weights, such as the examples that hospitals publish: which of
them are in it, and how much of it is the heaviest one's. Documented, not prevented: all of that is in the mean itself.
Where it matters, sum without weights, or take a smaller `Policy.weight_ratio`.
"""

from itertools import combinations

import numpy as np

import secagg
from secagg.federation.metrics import clips_with_metrics, with_metrics
from secagg_protocols import PairwiseMasking

WEIGHTS = dict(zip("abcdefgh", (212, 845, 431, 1390, 98, 977, 640, 303), strict=True))


def summing_to(weight):
    """All sets of clients of that total weight."""
    sizes = range(1, len(WEIGHTS) + 1)
    return [{*some} for size in sizes for some in combinations(WEIGHTS, size) if sum(map(WEIGHTS.get, some)) == weight]


def test_the_total_weight_says_who_abstains():
    updates = dict.fromkeys(WEIGHTS, np.zeros(2)) | {"e": secagg.ABSTAIN}
    out = secagg.aggregate(updates, PairwiseMasking(), weights=WEIGHTS, weight_max=2000)
    assert (out.contributors, out.abstained) == ({*WEIGHTS}, 1)
    assert summing_to(sum(WEIGHTS.values()) - out.weight) == [{"e"}]


def test_without_weights_the_sum_says_how_many():
    updates = dict.fromkeys(WEIGHTS, np.zeros(2)) | {"e": secagg.ABSTAIN}
    out = secagg.aggregate(updates, PairwiseMasking())
    assert (out.abstained, out.weight) == (1, 7)


def test_the_share_of_a_metric_says_who_has_it():
    """It is quantized as finely as all else: at 16 bits to a small part of an example."""
    having = {"a", "d", "e"}
    updates = {name: with_metrics({"w": np.zeros(2)}, {"auc": 0.8 if name in having else None}) for name in WEIGHTS}
    clip = clips_with_metrics({"w": 1.0}, {"auc": 1.0})
    out = secagg.aggregate(updates, PairwiseMasking(), weights=WEIGHTS, weight_max=2000, clip=clip)
    share = out.sum["reporting"]["auc"]["share"]
    assert abs(share - 1700) < 0.5
    assert [found for found in summing_to(round(share)) if len(found) == out.sum["reporting"]["auc"]["parties"]] == [
        having
    ]


def test_a_heavy_client_stands_out_by_nature():
    draw = np.random.default_rng(0)
    updates = {name: draw.normal(0, 0.3, 2000).clip(-1, 1) for name in "abcdefghij"}
    weights = dict.fromkeys(updates, 100) | {"d": 10_000}
    out = secagg.aggregate(updates, PairwiseMasking(), weights=weights, weight_max=10_000)
    error = out.sum / weights["d"] - updates["d"]
    assert np.sqrt((error**2).mean() / (updates["d"] ** 2).mean()) < 0.035
