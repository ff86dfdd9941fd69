"""No kernel reads or writes outside its arrays: tests of those that look ahead run again, every index checked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", ["mask_kernel", "mask_aes", "pack_kernel", "agreement_kernel", "montgomery"])
def test_with_every_index_checked(name):
    test = HERE / f"test_{name}.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1"}
    result = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
