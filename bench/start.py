"""How long a fresh process takes to its first aggregate, with kernels cached on disk."""

import subprocess
import sys

from bench.machine import ROOT
from bench.measure import Times, side_by_side

PROGRAM = """
import numpy as np
import secagg
from secagg_protocols import PairwiseMasking
updates = {i: np.full(1000, i / 10, np.float32) for i in range(10)}
assert len(secagg.aggregate(updates, PairwiseMasking()).contributors) == 10
"""


def warm(runs: int) -> dict[str, Times]:
    """{what: times} of the program, of `import secagg` alone and of Python alone; a first run fills the cache."""
    programs = {"first aggregate of 10 x 1000": PROGRAM, "import secagg": "import secagg", "Python": "pass"}
    return side_by_side({name: _Fresh(text) for name, text in programs.items()}, runs)


class _Fresh:
    """Runs a program in a process of its own."""

    def __init__(self, program: str) -> None:
        self._command = [sys.executable, "-c", program]

    def __call__(self) -> None:
        subprocess.run(self._command, check=True, cwd=ROOT)
