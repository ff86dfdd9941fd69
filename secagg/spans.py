"""Named spans: functions that say which part of the work they are, for whoever wants to know where time goes.

`@span("mask streams")` marks a function where it is defined. While nobody listens, a call looks at one variable and
goes on; while a `Listener` does, its seconds are added up.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from time import perf_counter
from typing import ParamSpec, Self, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

REST = "everything else"
"""What a role did outside all spans."""

_listener: "Listener | None" = None


def span(part: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a function as doing `part` of the work. Not for one that a round calls for every entry or byte."""

    def marked(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def spanned(*args: P.args, **kwargs: P.kwargs) -> R:
            if _listener is None:
                return function(*args, **kwargs)
            return _listener.timed(part, function, *args, **kwargs)

        return spanned

    return marked


class Listener:
    """Adds up the seconds of spans while it is entered; where one span calls another, the time is the caller's.

    Attributes:
        seconds: {(phase, role, part): seconds}; `REST` is what was left of the wall time in the caller's thread, where
            it also waits for other threads.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[tuple[str, str, str], float] = defaultdict(float)
        self._now: tuple[str, str] | None = None  # whose work it is; outside `charged` nobody's, and not counted
        self._here = 0.0  # seconds in spans since `charged` began, in its own thread
        self._home = threading.get_ident()
        self._thread = threading.local()  # .busy: a span runs in this thread

    def __enter__(self) -> Self:
        global _listener  # noqa: PLW0603
        _listener = self
        return self

    def __exit__(self, *_: object) -> None:
        global _listener  # noqa: PLW0603
        _listener = None

    @contextmanager
    def charged(self, phase: str, role: str) -> Iterator[None]:
        """What runs now is this role's work in this phase."""
        self._now, self._here = (phase, role), 0.0
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[phase, role, REST] += perf_counter() - start - self._here
            self._now = None

    def timed(self, part: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """A call of a function that is marked as `part`."""
        now = self._now
        if now is None or getattr(self._thread, "busy", False):
            return function(*args, **kwargs)
        self._thread.busy = True
        start = perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            taken = perf_counter() - start
            self._thread.busy = False
            self.seconds[(*now, part)] += taken
            if threading.get_ident() == self._home:
                self._here += taken
