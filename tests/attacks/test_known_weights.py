"""What a weighted sum says to a server that knows the weights, such as the examples that hospitals publish: which of
them are in it, and how much of it is the heaviest one's. Of who abstains, and of who has a metric, it says how many.
"""

import os
from itertools import combinations

import numpy as np

import secagg
from secagg.encoding.encoding import Encoding
from secagg.federation.metrics import given_metrics, read_metrics
from secagg_protocols import PairwiseMasking

WEIGHTS = dict(zip("abcdefgh", (212, 845, 431, 1390, 98, 977, 640, 303), strict=True))


def summing_to(weight):
    """All sets of clients of that total weight."""
    sizes = range(1, len(WEIGHTS) + 1)
    return [{*some} for size in sizes for some in combinations(WEIGHTS, size) if sum(map(WEIGHTS.get, some)) == weight]


def test_weights_that_are_missing_in_the_total_say_whose(monkeypatch):
    """A twin whose abstentions weigh nothing."""
    encode = Encoding.encode

    def weighing_nothing(self, update, weight, entropy):
        vector = encode(self, update, weight, entropy)
        if update is secagg.ABSTAIN:
            vector[self.entries] = 0
        return vector

    monkeypatch.setattr(Encoding, "encode", weighing_nothing)
    out = summed({"e"})
    assert summing_to(sum(WEIGHTS.values()) - out.weight) == [{"e"}]


def summed(abstaining):
    updates = {name: secagg.ABSTAIN if name in abstaining else np.zeros(2) for name in WEIGHTS}
    return secagg.aggregate(updates, PairwiseMasking(), weights=WEIGHTS, weight_max=2000)


def test_who_abstains_weighs_as_ever():
    out = summed({"e", "g"})
    assert (out.contributors, out.abstained, out.weight) == ({*WEIGHTS}, 2, sum(WEIGHTS.values()))


def having_auc(kind):
    having = {"a", "d", "e"}
    given = {
        name: given_metrics({"auc": 0.8} if name in having else {}, {"auc": 1.0}, 16, os.urandom) for name in WEIGHTS
    }
    share = {name: {"share": float(name in having)} if kind == "by weight" else {} for name in WEIGHTS}
    updates = {name: {"arrays": np.zeros(2), **given[name], **share[name]} for name in WEIGHTS}
    return having, secagg.aggregate(updates, PairwiseMasking(), weights=WEIGHTS, weight_max=2000)


def test_the_share_of_those_who_have_a_metric_says_who():
    """A twin that averages metrics by weight: a share is quantized as finely as all else."""
    having, out = having_auc("by weight")
    assert abs(out.sum["share"] - 1700) < 0.5
    assert [found for found in summing_to(round(out.sum["share"])) if len(found) == 3] == [having]


def test_of_a_metric_the_sum_says_how_many_have_it():
    _, out = having_auc("ours")
    found = read_metrics(out.sum, {"auc": 1.0}, 16)["auc"]
    assert (found.parties, out.weight) == (3, sum(WEIGHTS.values()))
    assert abs(found.mean - 0.8) <= found.bound


def test_a_heavy_client_stands_out_by_nature():
    draw = np.random.default_rng(0)
    updates = {name: draw.normal(0, 0.3, 2000).clip(-1, 1) for name in "abcdefghij"}
    weights = dict.fromkeys(updates, 100) | {"d": 10_000}
    out = secagg.aggregate(updates, PairwiseMasking(), weights=weights, weight_max=10_000)
    error = out.sum / weights["d"] - updates["d"]
    assert np.sqrt((error**2).mean() / (updates["d"] ** 2).mean()) < 0.035
