from smallkeys import BITS, keys_of

from secagg.scheme import Scheme
from secagg.testing.conformance import SchemeConformance
from secagg_protocols import PROTOCOLS, PaillierSum


class PaillierConformance(SchemeConformance):
    """Ciphertexts of short keys are many."""

    long = 5_000


class TestFreshKey(PaillierConformance):
    def make(self, n: int) -> Scheme:
        return PROTOCOLS["paillier"](n, key_bits=BITS)


class TestTwoOfThree(PaillierConformance):
    """Three of the clients hold the key."""

    def make(self, n: int) -> Scheme:
        return PaillierSum(keys=keys_of((0, "party 1", 4), 2))


class TestOneHolderInAdvance(PaillierConformance):
    def make(self, n: int) -> Scheme:
        return PaillierSum(keys=keys_of(("party 3",), 1))
