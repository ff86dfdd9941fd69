"""Spans add up seconds by whose work it is; nested ones are their caller's, other threads count, nobody else does."""

import inspect
import threading
import time

import pytest

from secagg.spans import REST, Listener, span

SPENT = 0.002


@span("one")
def outer(calls):
    """Takes at least SPENT."""
    calls.append("outer")
    end = time.perf_counter() + SPENT
    called(calls)
    while time.perf_counter() < end:
        pass


@span("two")
def called(calls):
    calls.append("called")


@span("fails")
def failing():
    raise KeyError("as the function did")


def test_seconds_by_phase_role_and_part():
    calls = []
    with Listener() as heard:
        with heard.charged("phase", "server"):
            outer(calls)
            thread = threading.Thread(target=called, args=[calls])
            thread.start()
            thread.join()
        called(calls)  # nobody's
        with heard.charged("other", "client"):
            pass
    assert set(heard.seconds) == {
        ("phase", "server", "one"),
        ("phase", "server", "two"),
        ("phase", "server", REST),
        ("other", "client", REST),
    }
    assert calls == ["outer", "called", "called", "called"]
    assert heard.seconds["phase", "server", "one"] >= SPENT


def test_parts_of_one_thread_add_up_to_the_wall_time():
    with Listener() as heard:
        start = time.perf_counter()
        with heard.charged("phase", "client"):
            outer([])
            called([])
        wall = time.perf_counter() - start
    assert 0 < sum(heard.seconds.values()) <= wall


def test_the_span_after_a_failing_one_is_heard():
    with Listener() as heard, heard.charged("phase", "client"):
        with pytest.raises(KeyError):
            failing()
        called([])
    assert {part for _, _, part in heard.seconds} == {"fails", "two", REST}


def test_nobody_listens_before_and_after():
    with Listener() as heard:
        pass
    outer([])
    assert not heard.seconds


def test_a_spanned_function_is_what_it_was():
    assert outer.__doc__ == "Takes at least SPENT."
    assert list(inspect.signature(outer).parameters) == ["calls"]
