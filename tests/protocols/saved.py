"""A server's saved state with one thing in it that cannot be."""

from collections.abc import Callable
from typing import Any

from secagg.api import Coordinator
from secagg.engine.progress import Saved
from secagg.testing import TestRound
from secagg.wire import codec

Change = Callable[[Any], object]
"""To a stage, in place."""


def open_at(round_: TestRound, phase: str) -> TestRound:
    """The same round in the middle of a phase, whose replies have come."""
    while round_.coordinator.phase != phase:
        round_.step()
    round_.exchange()
    return round_


def changed(round_: TestRound, change: Change) -> bytes:
    """The server's state, once the open phase's stage in it was changed."""
    saved = codec.load(round_.coordinator.state(), Saved)
    assert saved.stage is not None
    stage = codec.load(saved.stage, round_.scheme.phases[saved.round.phase].server)
    change(stage)
    saved.stage = codec.encode(stage)
    return codec.encode(saved)


def restored(round_: TestRound, state: bytes) -> Coordinator:
    """The server of that round with this state."""
    return Coordinator.of_state(round_.scheme, state, round_.roster)


def put(path: str, value: Callable[[Any], Any]) -> Change:
    """A change of the field at the end of a dotted path, to what `value` makes of it."""
    *above, name = path.split(".")

    def change(state: Any) -> None:
        for each in above:
            state = getattr(state, each)
        setattr(state, name, value(getattr(state, name)))

    return change


def to(value: Any) -> Callable[[Any], Any]:
    """That value, whatever was there."""
    return lambda _: value


def beside(key: int) -> Callable[[dict[int, Any]], dict[int, Any]]:
    """The same dictionary with one entry more, that is like another."""
    return lambda entries: entries | {key: next(iter(entries.values()), b"")}


def without(key: int) -> Callable[[dict[int, Any]], dict[int, Any]]:
    """The same dictionary with one entry less."""
    return lambda entries: {i: value for i, value in entries.items() if i != key}


def both(*changes: Change) -> Change:
    """One after the other."""
    return lambda state: [change(state) for change in changes]
