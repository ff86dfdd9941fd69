"""These tests need Flower, which lives in an environment of its own: `make test-flower`."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("flwr") else ["test_*.py", "pending/test_*.py"]
