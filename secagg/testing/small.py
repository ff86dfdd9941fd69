"""Keys that anybody can break, so that tests need not wait for strong ones."""

from collections.abc import Iterator
from contextlib import contextmanager

from secagg.primitives import key_sizes


@contextmanager
def small_keys(least: int = 8) -> Iterator[None]:
    """Within it, moduli of `least` bits and more are keys. For the whole process: never where real ones are in use."""
    before = key_sizes._least
    key_sizes._least = least
    try:
        yield
    finally:
        key_sizes._least = before
