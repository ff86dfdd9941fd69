"""Messages that must be refused: each a true message of a round that has run, with one thing changed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recording import Round

from secagg.testing import opened, rewritten
from secagg.wire import frame

Value = Callable[[Any, Mapping[int, Any]], Any]
"""(this party's message, all parties' messages of the phase) to a field's new value."""
Change = dict[str, Value] | Callable[[bytes], bytes]
"""{field: its new value}, or what is done to the frame."""
Lie = tuple[str, Change, str] | tuple[str, Change, str, int]
"""What is wrong, the change, the error, and the index of the culprit that it names (none: the server, or nobody)."""
Place = tuple[str, str, str, int]
"""Round, end where the lie arrives ("client" or "server"), phase, and index of the party whose ask or reply it is."""
Lies = Mapping[Place, Sequence[Lie]]


def refused(lies: Lies, rounds: Sequence[Round]) -> dict[str, Any]:
    """The lies as `negative.json` has them; the rounds have run."""
    return {
        "about": "Each message, in place of the true one, gets `expect` from the end that it is for.",
        "cases": [_case(place, lie, rounds) for place, told_there in lies.items() for lie in told_there],
    }


def _case(place: Place, lie: Lie, rounds: Sequence[Round]) -> dict[str, Any]:
    name, end, phase, party = place
    what, change, expect, *culprits = lie
    round_ = next(round_ for round_ in rounds if round_.name == name)
    return {
        "name": what,
        "round": f"{name}.json",
        "end": end,
        "phase": phase,
        "party": party,
        "message": told(round_, end, phase, party, change).hex(),
        "expect": expect,
        "culprits": [round_.parties[i] for i in culprits],
    }


def told(round_: Round, end: str, phase: str, party: int, change: Change) -> bytes:
    """The true message of that place, changed."""
    messages = (round_.asks if end == "client" else round_.replies)[phase]
    if callable(change):
        return change(messages[party])
    step = next(step for step in round_.scheme.phases if step.name == phase)
    kind = step.ask if end == "client" else step.reply
    assert kind is not None
    decoded = {i: opened(message, kind) for i, message in messages.items()}
    return rewritten(messages[party], kind, **{name: value(decoded[party], decoded) for name, value in change.items()})


def to(value: Any) -> Value:
    """That value, whatever the message."""
    return lambda mine, others: value


def of(party: int, *names: str) -> dict[str, Value]:
    """These fields as another party has them."""
    return {name: lambda mine, others, name=name: getattr(others[party], name) for name in names}


def contributors(*indices: int) -> dict[str, Value]:
    """Another bit set of contributors, of the same size."""
    return {"contributors": lambda ask, _: sum(1 << i for i in indices).to_bytes(len(ask.contributors), "little")}


def flip(data: bytes, at: int) -> bytes:
    """The lowest bit of one byte."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def reframed(data: bytes, **changes: Any) -> bytes:
    """The frame with other header fields and a right checksum."""
    old = frame.unwrap(data)
    fields = {name: getattr(old, name) for name in ("direction", "phase", "party", "tag", "answers", "body")}
    return frame.wrap(**(fields | changes))


FRAMES: dict[str, Callable[[bytes], bytes]] = {
    "a changed byte": lambda data: flip(data, -1),
    "a cut frame": lambda data: data[:-1],
    "less than a header": lambda data: data[:59],
    "a byte too many": lambda data: data + b"\0",
    "a byte too many, with its checksum": lambda data: reframed(data, body=data[60:] + b"\0"),
    "another session's frame": lambda data: reframed(data, tag=bytes(16)),
    "another party's frame": lambda data: reframed(data, party=3),
    "a frame the other way round": lambda data: reframed(data, direction=1 - data[5]),
}
"""What is a WireError of every message; the party's frame, of every one but party 3's own."""


def frames(*names: str, where: str = "") -> list[Lie]:
    """Those of `FRAMES`, all where none is named."""
    return [(name + where, FRAMES[name], "WireError") for name in names or FRAMES]
