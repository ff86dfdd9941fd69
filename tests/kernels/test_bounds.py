"""No kernel reads or writes outside its arrays: tests of those that look ahead run again, every index checked."""

import os
import subprocess
import sys
from pathlib import Path

import in_use
import pytest

from secagg.kernels import agreement, mask, montgomery

HERE = Path(__file__).parent
TESTS = ["mask_kernel", "mask_aes", "pack_kernel", "agreement_kernel", "montgomery"]
IN_USE = {
    "mask_kernel": in_use.MASK,
    "mask_aes": mask.FAST[in_use.MASK][0] if in_use.MASK in mask.FAST else None,
    "pack_kernel": "pack",
    "agreement_kernel": agreement.FAST[in_use.AGREEMENT][0] if in_use.AGREEMENT in agreement.FAST else None,
    "montgomery": in_use.MONTGOMERY if in_use.MONTGOMERY in montgomery.FAST else None,
}
"""What the names of a file's tests say where they are about the kernel that this machine uses."""


def checked(name, *options):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(HERE / f"test_{name}.py")]
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1"}
    result = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout


@pytest.mark.parametrize("name", [name for name in TESTS if IN_USE[name]])
def test_kernels_in_use_with_every_index_checked(name):
    checked(name, "-m", "not nightly", "-k", str(IN_USE[name]))


@pytest.mark.nightly
@pytest.mark.parametrize("name", TESTS)
def test_all_kernels_with_every_index_checked(name):
    checked(name)
