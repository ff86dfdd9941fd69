"""Small keys: a round takes milliseconds, and its laws are those of strong ones."""

from collections.abc import Iterator

import pytest

from secagg.testing import small_keys


@pytest.fixture(autouse=True)
def keys_are_small() -> Iterator[None]:
    with small_keys(128):
        yield
