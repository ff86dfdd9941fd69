"""These tests need Flower, which lives in an environment of its own: `make test-flower`."""

from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("flwr") else ["test_*.py"]


@pytest.fixture(autouse=True)
def _flower_home(tmp_path, monkeypatch):
    """Where Flower installs apps, in tests of one process."""
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "flwr"))
