"""The kernels for AVX-512 IFMA compute what `cryptography` does, their two instructions emulated if need be."""

import derivation
import ifma
import pytest
from derivation import PAIRS

pytestmark = pytest.mark.nightly  # a processor that has the instructions runs `test_agreement_kernel` on them
BITS = 512


@pytest.fixture(autouse=True, scope="module")
def emulated():
    with ifma.emulated():
        yield


def test_products_of_rfc_7748():
    derivation.rfc_7748_agrees(BITS)


def test_counts():
    derivation.counts_agree([*range(10), 15, 16, 17, 31, 33, 40, PAIRS], BITS)


def test_edges():
    derivation.edges_agree(BITS)


def test_infos_of_every_length_around_blocks():
    derivation.lengths_agree([0, 1, 53, 54, 55, 103, 118, 119], BITS)


def test_more_than_one_inversion():
    rows = [derivation.some_rows(label, 130, 32) for label in "abc"]
    derivation.agrees(*rows, bits=BITS, threads=2)
