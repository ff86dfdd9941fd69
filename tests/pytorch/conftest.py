"""These tests need PyTorch, which lives in an environment of its own: `make test-torch`."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]
