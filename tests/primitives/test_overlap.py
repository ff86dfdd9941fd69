"""Batches are used in order, one at a time, while at most one more is made; an error ends both."""

import threading
from functools import partial

import pytest

from secagg.primitives.overlap import use_while_making


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_every_batch_is_used_in_order(count):
    used = []
    use_while_making([partial(int, i) for i in range(count)], used.append)
    assert used == list(range(count))


def test_a_single_batch_needs_no_thread():
    where = []
    use_while_making([threading.get_ident], lambda made: where.append((made, threading.get_ident())))
    assert where == [(threading.get_ident(), threading.get_ident())]


def test_the_next_batch_is_made_while_one_is_used():
    """Using the first waits for the making of the second: in one thread it would wait for ever."""
    second_is_being_made = threading.Event()
    used = []

    def make(i):
        assert set(range(i - 1)) <= set(used)  # two batches exist at most: the one in use, and this one
        if i == 1:
            second_is_being_made.set()
        return i

    def use(i):
        if i == 0:
            assert second_is_being_made.wait(timeout=60)
        used.append(i)

    use_while_making([partial(make, i) for i in range(4)], use)
    assert used == [0, 1, 2, 3]


def test_an_error_in_making_waits_for_the_batch_in_use():
    used = []

    def fail():
        raise ValueError("second")

    with pytest.raises(ValueError, match="second"):
        use_while_making([partial(int, 0), fail, partial(int, 2)], used.append)
    assert used == [0]


@pytest.mark.parametrize("last", [1, 4])
def test_after_an_error_in_using_nothing_more_is_used(last):
    used = []

    def use(i):
        used.append(i)
        if i == last:
            raise ValueError("in use")

    with pytest.raises(ValueError, match="in use"):
        use_while_making([partial(int, i) for i in range(5)], use)
    assert used == list(range(last + 1))
