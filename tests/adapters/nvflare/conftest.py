"""These tests need NVFLARE, which lives in an environment of its own: `make test-nvflare`."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("nvflare") else ["test_*.py"]
