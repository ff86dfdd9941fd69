"""Every message that travels or is saved: round trip, total decoding, and a repr that shows no contents."""

import importlib
import pkgutil
import types
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import secagg
import secagg_protocols
from secagg.errors import WireError
from secagg.scheme import Policy
from secagg.wire import codec
from secagg.wire.codec import Message, State
from secagg_protocols.pairwise import stages

WITHOUT_MESSAGES = ("secagg.cli", "secagg.fedavg", "secagg.adapters")
"""What stands on top of the public interface; `test_layers` sees to it that nothing there imports the codec."""
SECRET = b"sixteen or more!"
INTEGER = 1234567890123456789


def message_types():
    """All subclasses, once every module that may define one is imported; a test's own are left out."""
    for package in (secagg, secagg_protocols):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".", onerror=lambda _: None):
            if not module.name.startswith(WITHOUT_MESSAGES):
                importlib.import_module(module.name)
    found, queue = set(), [Message, State]
    while queue:
        for kind in queue.pop().__subclasses__():
            queue.append(kind)
            if kind.__module__.partition(".")[0] in ("secagg", "secagg_protocols"):
                found.add(kind)
    return sorted(found, key=lambda kind: (kind.__module__, kind.__qualname__))


KINDS = message_types()
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


def values(hint, leaf):
    """A strategy for a field's type; `leaf` gives those of bytes, int and str, of `ANY` within a field's bounds."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        base, bounds = arguments
        return st.integers(bounds.ge, bounds.le) if base is int and leaf is ANY else values(base, leaf)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([values(argument, leaf) for argument in arguments])
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0], leaf), min_size=1, max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*(values(argument, leaf) for argument in arguments))
    if origin in (list, set, frozenset):
        return st.lists(values(arguments[0], leaf), max_size=3, unique=origin is not list).map(origin)
    if origin is dict:
        return st.dictionaries(*(values(argument, leaf) for argument in arguments), max_size=3)
    if hint is type(None):
        return st.none()
    if hint is Policy:
        return st.sampled_from([Policy(), Policy(5, weights=(2, 9), clip={"w": (0.5, 2.0)}, bits=(8, 16))])
    if hint is bytearray:
        return leaf[bytes].map(bytearray)
    if isinstance(hint, type) and issubclass(hint, Message | State):
        return messages(hint, leaf)
    return leaf[hint]


def messages(kind, leaf):
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {name: values(hints[name], leaf) for name in kind.__struct_fields__}
    return st.builds(kind, **fields)


ANY = {
    bool: st.booleans(),
    bytes: st.binary(max_size=20),
    int: st.integers(-(2**63), 2**64 - 1),
    str: st.text(max_size=5),
}
KNOWN = {bool: st.booleans(), bytes: st.just(SECRET), int: st.just(INTEGER), str: st.just(SECRET.decode())}


def test_the_walk_finds_the_engine_and_the_protocols():
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in KINDS}
    assert {
        "secagg.engine.party._Saved",
        "secagg.engine.progress.Saved",
        "secagg_protocols.pairwise.messages.Shares",
        "secagg_protocols.pairwise.stages.Dealt",
        "secagg_protocols.pairwise.server.Unmasking",
    } <= names
    assert len(names) > 15


def reader(kind):
    return codec.load if issubclass(kind, State) else codec.decode


@every_kind
@settings(max_examples=15)
@given(draw=st.data())
def test_round_trip(kind, draw):
    message = draw.draw(messages(kind, ANY))
    data, read = codec.encode(message), reader(kind)
    assert read(data, kind) == message
    with pytest.raises(WireError):
        read(data + b"\0", kind)
    with pytest.raises(WireError):
        read(data[:-1], kind)


@every_kind
@settings(max_examples=25)
@given(draw=st.data())
def test_damaged_bytes_decode_exactly_or_not_at_all(kind, draw):
    data = bytearray(codec.encode(draw.draw(messages(kind, ANY))))
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    try:
        message = reader(kind)(bytes(data), kind)
    except WireError:
        return
    if not issubclass(kind, State):  # whose sets have no order
        assert codec.encode(message) == bytes(data)


def shows_contents(text):
    return any(part in text for part in (SECRET.decode(), SECRET.hex(), str(INTEGER), f"{INTEGER:x}"))


@every_kind
@settings(max_examples=10)
@given(draw=st.data())
def test_repr_shows_no_contents(kind, draw):
    message = draw.draw(messages(kind, KNOWN))
    for text in (repr(message), str(message), f"{message}", repr([message]), repr({"m": (message,)})):
        assert not shows_contents(text)


def complaint(data):
    """What the error says, or nothing where the bytes are another message."""
    try:
        codec.decode(data, stages.Saved)
    except WireError as error:
        return f"{error} {error.__cause__}"
    return ""


@pytest.mark.parametrize("stage", [kind for kind in stages.Stage.__args__ if kind.__struct_fields__])
def test_a_secret_stage_that_does_not_decode_is_not_quoted(stage):
    """Every single byte changed to every other value: the error's text never holds eight bytes of a secret."""
    data = codec.encode(stages.Saved(stage(*[SECRET] * len(stage.__struct_fields__))))
    for place in range(len(data)):
        for flip in range(1, 256):
            damaged = data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :]
            assert SECRET.decode()[:8] not in complaint(damaged)
