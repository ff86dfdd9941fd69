"""Different rounds share nothing (docs/integrate.md): they may run in different threads, all for the first time."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np

import secagg
from secagg.kernels import agreement
from secagg.testing import small_keys
from secagg_protocols import CkksSum, PaillierSum, PairwiseMasking

PATIENCE = 120
"""Seconds; threads that take them wait for each other."""


def exact_round(scheme, number, ready):
    """One round of a structure, ring and loss of its own, begun with the others."""
    draw = np.random.default_rng(number)
    updates = {i: draw.integers(0, 2**8, 1000 + number, np.uint32) for i in range(8)}
    ready.wait()
    out = secagg.aggregate(updates, scheme, bits=8 + number, lost={number: scheme.phases[0].name})
    np.testing.assert_array_equal(out.sum, sum(updates[i] for i in out.contributors))
    return sorted(out.contributors)


def main():
    agreement.LOADING = 300  # in the midst of the rounds
    with small_keys():
        schemes = [
            PairwiseMasking(),
            PairwiseMasking(neighbours=4),
            PairwiseMasking(adversary="active"),
            CkksSum(),
            PaillierSum(key_bits=512),
        ] * 2
        ready = Barrier(len(schemes), timeout=PATIENCE)
        with ThreadPoolExecutor(len(schemes)) as pool:
            rounds = [pool.submit(exact_round, scheme, i % 5, ready) for i, scheme in enumerate(schemes)]
            for number, each in enumerate(rounds):
                assert each.result() == [i for i in range(8) if i != number % 5]
    assert agreement._proved.cache_info().currsize or agreement.selected() == "portable"


def test_rounds_in_threads_are_exact():
    """In a process that has loaded no kernel and no library's context yet."""
    subprocess.run([sys.executable, "-W", "error", __file__], check=True, timeout=PATIENCE)


if __name__ == "__main__":
    main()
