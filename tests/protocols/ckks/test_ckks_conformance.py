from secagg.scheme import Scheme
from secagg.testing.conformance import SchemeConformance
from secagg_protocols import PROTOCOLS, CkksSum


class TestCkks(SchemeConformance):
    """Every client is a key holder here: whoever is left could open the sum."""

    patterns = 40

    def make(self, n: int) -> Scheme:
        return CkksSum(holders=n)


class TestCkksOverTwoCiphertexts(SchemeConformance):
    dim = 4100
    patterns = 8

    def make(self, n: int) -> Scheme:
        return PROTOCOLS["ckks"](n, holders=n)
