from pathlib import Path

import pytest

from secagg.scheme import Scheme
from secagg_protocols import PairwiseMasking


@pytest.fixture
def scheme() -> Scheme:
    return PairwiseMasking()


@pytest.fixture
def csv(tmp_path: Path):
    """Writes text to a CSV file and gives its path."""

    def write(text: str, name: str = "patients.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write
