from secagg.scheme import Scheme
from secagg.testing.conformance import SchemeConformance
from secagg_protocols import PROTOCOLS, PairwiseMasking


class TestSecAgg(SchemeConformance):
    def make(self, n: int) -> Scheme:
        return PROTOCOLS["secagg"](n)


class TestSecAggActive(SchemeConformance):
    def make(self, n: int) -> Scheme:
        return PROTOCOLS["secagg"](n, adversary="active")


class TestSecAggPlusActive(SchemeConformance):
    n = 9
    patterns = 30

    def make(self, n: int) -> Scheme:
        return PairwiseMasking(neighbours=6, adversary="active", corrupt=0.0)


class TestSecAggPlus(SchemeConformance):
    n = 9

    def make(self, n: int) -> Scheme:
        return PairwiseMasking(neighbours=4)


class TestSecAggPlusAsPlanned(SchemeConformance):
    n = 24
    patterns = 20

    def make(self, n: int) -> Scheme:
        return PROTOCOLS["secagg+"](n, corrupt=0.01, dropout=0.01, sigma=10, eta=4)
