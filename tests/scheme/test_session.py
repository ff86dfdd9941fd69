"""A session is its bytes: the same at every party, refused where no round could use it."""

import hashlib
import struct
import tracemalloc

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secagg import Session
from secagg.encoding.encoding import Encoding
from secagg.encoding.layout import MAX_DEPTH, MAX_LEAVES, DictOf, Layout, Leaf
from secagg.errors import BadCohort, ConfigError, OutOfRange, SecaggError, UnknownParty, WireError
from secagg.testing import SeededEntropy
from secagg.wire import codec

LIKE = {"w": np.zeros((2, 3), np.float32), "b": [0.0, 7], "n": np.zeros(2, np.uint8)}


def create(parties=("a", "b", 3), like=LIKE, **options):
    return Session.create(parties, like, **({"entropy": SeededEntropy(0)} | options))


sessions = st.builds(
    create,
    parties=st.lists(
        st.integers(-(2**63), 2**63 - 1) | st.text(min_size=1, max_size=5), min_size=2, max_size=6, unique=True
    ),
    like=st.sampled_from([LIKE, 0.0, np.zeros((0, 4)), {}, [np.zeros(3, "g"), (1.0,)], {1: np.zeros(2, ">f2")}]),
    bits=st.integers(2, 32),
    clip=st.sampled_from([0.5, 3, np.float32(1e-3)]),
    weight_max=st.none() | st.integers(1, 2**48),
    rounding=st.sampled_from([None, "stochastic"]),
    context=st.binary(max_size=9),
    entropy=st.integers(0, 9).map(SeededEntropy),
)


@given(session=sessions)
def test_bytes_are_the_session(session):
    again = Session.from_bytes(session.to_bytes())
    assert again == session
    assert again.to_bytes() == session.to_bytes()
    assert again.digest == session.digest == hashlib.sha256(session.to_bytes()).digest()
    assert (again.dim, again.ring) == (session.dim, session.ring)
    assert Session.from_bytes(bytearray(session.to_bytes())) == session
    assert Session.from_bytes(memoryview(session.to_bytes())) == session


def nested(depth, leaf=0.0):
    for _ in range(depth):
        leaf = [leaf]
    return leaf


EXTREMES = {
    "nothing": {},
    "empty lists": [[], (), {}, [[]]],
    "leaves": [0.0] * MAX_LEAVES,
    "leaves, one too many": [0.0] * (MAX_LEAVES + 1),
    "leaves in two lists, one too many": [[0.0] * MAX_LEAVES, [0.0]],
    "empty lists, too many": [[]] * (MAX_LEAVES + 1),
    "keys": dict.fromkeys(range(MAX_LEAVES), 0),
    "keys, one too many": dict.fromkeys(range(MAX_LEAVES + 1), 0),
    "keys of one leaf's arrays": {str(i): [] for i in range(MAX_LEAVES + 1)},
    "deep": nested(MAX_DEPTH),
    "too deep": nested(MAX_DEPTH + 1),
    "deep and empty": nested(MAX_DEPTH, []),
    "far too deep": nested(5000),
    "a long key": {"k" * 256: 0.0},
    "a key beyond that": {"k" * 257: 0.0},
    "keys at the ends": {-(2**63): 0.0, 2**63 - 1: 0.0, "": 0.0, "\N{GRINNING FACE}\0": 0.0, 0: 0.0, "0": 0.0},
    "keys beyond them": {2**63: 0.0},
    "no Unicode": {"\ud800": 0.0},
    "axes": np.zeros((1,) * 64),
    "no entries, long axes": np.zeros((0, 2**40)),
    "no entries, longer axes": np.broadcast_to(np.zeros(1, "b"), (2**30, 2**30, 0)),
    "more entries than lanes": np.broadcast_to(np.zeros(1), (2**37,)),
    "long doubles": np.zeros(2, "g"),
    "integers": (np.zeros(2, ">u8"), True, 2**63, np.uint8(3), np.bool_(0)),
}
"""Structures at the limits and beyond."""

DEEP = st.recursive(
    st.sampled_from([0.0, 1, np.zeros((0, 3)), np.zeros(2, np.float16)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=40,
)


def made(**arguments):
    """A session that can be read by whoever gets its bytes, or a refusal in an error of ours."""
    try:
        session = Session.create(**arguments)
    except SecaggError:
        return None
    assert Session.from_bytes(session.to_bytes()) == session
    return session


@pytest.mark.parametrize("name", EXTREMES)
def test_a_structure_that_a_session_takes_can_be_read(name):
    session = made(parties=[0, 1], like=EXTREMES[name], bits=2)
    beyond = ("beyond", "too many", "too deep", "one leaf's", "no Unicode", "more entries", "longer axes")
    assert (session is None) == any(word in name for word in beyond)


@given(
    like=DEEP,
    parties=st.lists(st.integers() | st.text(max_size=300) | st.sampled_from(["x" * 256, "\N{GRINNING FACE}" * 256])),
    context=st.sampled_from([b"", bytes(1024), bytes(1025)]),
    run=st.sampled_from([b"", bytes(16), bytes(15)]),
    number=st.sampled_from([0, 1, 2**63 - 1, 2**63]),
    weight_max=st.sampled_from([None, 1, 2**48, 2**48 + 1]),
    clip=st.sampled_from([1.0, 1e280, 1e-280, 10**30]),
)
def test_every_session_that_can_be_created_can_be_read(like, parties, context, run, number, weight_max, clip):
    how = {"context": context, "run": run, "round": number, "weight_max": weight_max, "clip": clip}
    made(parties=parties, like=like, **how)


def test_the_bytes_are_messagepack_in_the_order_of_the_fields():
    run = {"run": b"f" * 16, "round": 5}
    session = create(["a", 1], np.zeros(2), weight_max=9, weight_min=3, context=b"c", entropy=lambda n: b"i" * n, **run)
    layout = b"\x91\x94\xa4leaf\x91\x02\xa7float64\xa5array"
    clip = b"\x91\xc4\x08" + struct.pack("<d", 1.0)
    encoding = b"\x96" + layout + b"\x10" + clip + b"\x92\x03\x09\xaastochastic\x02"
    written = b"\x97\x04\xc4\x10" + b"i" * 16 + b"\x92\xa1a\x01" + encoding + b"\xc4\x01c"
    assert session.to_bytes() == written + b"\xc4\x10" + b"f" * 16 + b"\x05"


def with_fields(session, **change):
    """With some fields changed, its own or its encoding's."""
    of_encoding = {name: change.pop(name) for name in list(change) if name in Encoding.__struct_fields__}
    encoding = msgspec.structs.replace(session.encoding, **of_encoding)
    return msgspec.structs.replace(session, **{"encoding": encoding} | change)


@pytest.mark.parametrize(
    "change",
    [
        {"id": bytes(16)},
        {"parties": ("b", "a", 3)},
        {"parties": ("a", "b", "3")},
        {"layout": Layout.of(LIKE | {"n": np.zeros(2, np.int8)})},
        {"bits": 17},
        {"clips": tuple(struct.pack("<d", 2.0) for _ in range(4))},
        {"weights": (1, 11)},
        {"weights": (2, 10)},
        {"weights": None},
        {"weights": None, "rounding": "nearest"},
        {"inputs": 2},
        {"context": b"round 2"},
        {"run": b"another training"},
        {"round": 2},
    ],
    ids=str,
)
def test_every_field_changes_the_digest(change):
    session = create(weight_max=10, run=bytes(16), round=1)
    assert msgspec.structs.replace(session).digest == session.digest
    changed = with_fields(session, **change)
    changed.check()
    assert changed.digest != session.digest


def test_every_field_is_tried_above():
    assert set(Session.__struct_fields__) == {
        "version",  # another one is refused: see below
        "id",
        "parties",
        "encoding",
        "context",
        "run",
        "round",
    }
    assert set(Encoding.__struct_fields__) == {"layout", "bits", "clips", "weights", "rounding", "inputs"}


def test_the_ring_counts_those_who_give_input():
    """A key holder that only helps widens no entry."""
    parties = [*range(16), "notary"]
    with_helper, without = (Session.create(parties, 0, bits=16, helpers=helpers) for helpers in (["notary"], []))
    assert (with_helper.encoding.inputs, with_helper.ring.bits) == (16, 20)
    assert (without.encoding.inputs, without.ring.bits) == (17, 21)


def test_two_sessions_of_the_same_parameters_differ():
    assert Session.create(["a", "b"], 0.0).digest != Session.create(["a", "b"], 0.0).digest


def test_parties_are_numbered_in_their_order():
    session = create(["z", np.int64(5), "a", np.str_("np")])
    assert [session.index(party) for party in ("z", 5, "a", "np", np.int64(5))] == [0, 1, 2, 3, 1]
    assert [type(party) for party in session.parties] == [str, int, str, str]


@pytest.mark.parametrize("stranger", ["b", 6, "5"])
def test_strangers_are_unknown(stranger):
    with pytest.raises(UnknownParty, match=f"{stranger!r} is not among the session's 3 parties"):
        create(["z", 5, "a"]).index(stranger)


@pytest.mark.parametrize("nobody", [None, 5.0, True, b"z", ("z",), ["z"]])
def test_what_is_no_id_is_no_party(nobody):
    with pytest.raises(BadCohort, match=f"is {type(nobody).__name__}, expected int or str"):
        create(["z", 5, 1]).index(nobody)


LARGE = np.broadcast_to(np.float32(0), (2**18, 2**19))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"parties": []}, BadCohort, r"0 parties: expected 2 to 2\*\*20"),
        ({"parties": ["a"]}, BadCohort, r"1 party: expected 2 to 2\*\*20"),
        ({"parties": range(2**20 + 1)}, BadCohort, r"1048577 parties: expected 2 to 2\*\*20"),
        ({"parties": ["a", "b", "a"]}, BadCohort, r"party id 'a' stands twice among the parties"),
        ({"parties": [1, np.int8(1)]}, BadCohort, r"party id 1 stands twice"),
        ({"run": b"f" * 15}, ConfigError, "run of 15 bytes: expected 16"),
        ({"run": "f" * 16}, ConfigError, "run is str, expected 16 random bytes"),
        ({"round": 1}, ConfigError, "run of 0 bytes: expected 16"),
        ({"run": b"f" * 16, "round": -1}, OutOfRange, "round is -1: expected an integer in 0..2"),
        ({"run": b"f" * 16, "round": 2**63}, OutOfRange, "expected an integer in 0..2"),
        ({"run": b"f" * 16, "round": 1.0}, OutOfRange, "round is 1.0: expected an integer"),
        ({"parties": ["a", None]}, BadCohort, r"party id None is NoneType, expected int or str"),
        ({"parties": [1, 2.0]}, BadCohort, r"party id 2.0 is float"),
        ({"parties": [1, True]}, BadCohort, r"party id True is bool"),
        ({"parties": ["a", b"b"]}, BadCohort, r"party id b'b' is bytes"),
        ({"parties": ["a", ""]}, BadCohort, r"party id of 0 characters: expected 1..256"),
        ({"parties": ["a", "x" * 257]}, BadCohort, r"party id of 257 characters"),
        ({"parties": ["a", "\ud800"]}, BadCohort, r"party id '\\ud800' is no valid Unicode text"),
        ({"parties": [1, 2**63]}, BadCohort, r"party id 9223372036854775808: expected a 64-bit integer"),
        ({"parties": [1, -(2**63) - 1]}, BadCohort, r"expected a 64-bit integer"),
        ({"parties": "abc"}, BadCohort, r"parties is str, expected a list of ids"),
        ({"parties": 3}, BadCohort, r"parties is int, expected a list of ids"),
        ({"parties": None}, BadCohort, r"parties is NoneType"),
        ({"bits": 1}, OutOfRange, r"bits is 1: expected 2..32"),
        ({"bits": 33}, OutOfRange, r"bits is 33: expected 2..32"),
        ({"bits": 0, "like": 1}, OutOfRange, r"bits is 0: expected 1..32"),
        ({"bits": 16.0}, OutOfRange, r"bits is 16.0: expected an integer"),
        ({"bits": True}, OutOfRange, r"bits is True: expected an integer"),
        ({"weight_max": 0}, OutOfRange, r"weight_max is 0: expected 1..2\*\*48"),
        ({"weight_max": 2**48 + 1}, OutOfRange, r"weight_max is 281474976710657: expected 1..2\*\*48"),
        ({"weight_max": 10.0}, OutOfRange, r"weight_max is 10.0: expected an integer"),
        ({"rounding": "up"}, OutOfRange, r"rounding is 'up': expected 'nearest' or 'stochastic'"),
        ({"weight_max": 9, "rounding": "nearest"}, OutOfRange, r"rounding is 'nearest': expected 'stochastic' where"),
        ({"weight_max": 9, "weight_min": 10}, OutOfRange, r"weight_min is 10: expected 1..9"),
        ({"weight_min": 1}, ConfigError, r"weight_min is 1 and weight_max is None"),
        ({"rounding": np.ones(2)}, OutOfRange, r"rounding is array"),
        ({"context": bytes(1025)}, OutOfRange, r"context of 1025 bytes: expected at most 1024; pass a digest"),
        ({"context": "model"}, ConfigError, r"context is str, expected bytes"),
        ({"context": 5}, ConfigError, r"context is int, expected bytes"),
        ({"clip": 0.0}, OutOfRange, r"clip is 0.0: expected a positive, finite number"),
        ({"clip": [1.0]}, ConfigError, r"clip: a list of 1, expected a dict"),
        ({"like": LARGE}, OutOfRange, r"update of 137438953476 entries: expected at most 2\*\*36"),
        ({"entropy": lambda n: b"short"}, ConfigError, r"entropy\(16\) must return 16 bytes"),
        ({"entropy": lambda n: "x" * n}, ConfigError, r"entropy\(16\) must return 16 bytes"),
    ],
)
def test_parameters_that_cannot_work(options, error, message):
    with pytest.raises(error, match=message) as caught:
        create(**options)
    assert type(caught.value) is error


def of_dim(size):
    """`size` entries of 32 bits, a limb or two that count the clipped, and one that counts abstentions."""
    return create(like=np.broadcast_to(np.float32(0), (size,)), bits=32).dim


def test_the_largest_session_is_within_the_bound():
    assert of_dim(2**36 - 3) == 2**36
    with pytest.raises(OutOfRange, match="expected at most"):
        of_dim(2**36 - 2)


DOUBLE = struct.pack("<d", 1.0)
HOSTILE = [
    {"version": 1},
    {"version": -1},
    {"id": bytes(15)},
    {"parties": ("a",)},
    {"parties": ("a", "a")},
    {"parties": ("a", "")},
    {"bits": 33},
    {"bits": -(2**63)},
    {"inputs": 0},
    {"inputs": 4},
    {"inputs": -1},
    {"weights": (-1, 5), "rounding": "stochastic"},
    {"weights": (0, 5), "rounding": "stochastic"},
    {"weights": (6, 5), "rounding": "stochastic"},
    {"weights": (1, 2**64 - 1), "rounding": "stochastic"},
    {"weights": (1, 5), "rounding": "nearest"},
    {"weights": (1, 5, 9), "rounding": "stochastic"},
    {"rounding": "up"},
    {"context": bytes(1025)},
    *(
        {"layout": Layout(root), "clips": (DOUBLE,)}
        for root in (
            Leaf((1,), "object", "array"),
            Leaf((1,), "datetime64[s]", "array"),
            Leaf((1,), "float64, (10000,10000)f8", "array"),
            Leaf((1,), "float1024", "array"),
            Leaf((-1,), "float64", "array"),
            Leaf((-1, -1), "float64", "array"),
            Leaf((2**62, 2**62), "float64", "array"),
            Leaf((2**37,), "float64", "array"),
            Leaf((2,) * 64, "float64", "array"),
            Leaf((1,) * 65, "float64", "array"),
            Leaf((0, 2**62), "float64", "array"),
            Leaf((3,), "float64", "number"),
            DictOf(("a",), ()),
            DictOf(("a", "a"), (Leaf((1,), "float64", "array"),) * 2),
        )
    ),
    {"layout": Layout.of(0.0), "clips": ()},
    {"layout": Layout.of(0.0), "clips": (DOUBLE, DOUBLE)},
    {"layout": Layout.of(0.0), "clips": (DOUBLE[:7],)},
    {"layout": Layout.of(np.zeros(3)), "clips": (2 * DOUBLE,)},
    {"layout": Layout.of(np.zeros(3)), "clips": (4 * DOUBLE,)},
    {"layout": Layout.of(0.0), "clips": (struct.pack("<d", 0.0),)},
    {"layout": Layout.of(0.0), "clips": (struct.pack("<d", -1.0),)},
    {"layout": Layout.of(0.0), "clips": (struct.pack("<d", float("nan")),)},
    {"layout": Layout.of(0.0), "clips": (struct.pack("<d", float("inf")),)},
    {"layout": Layout.of(0.0), "clips": (struct.pack("<d", 5e-324),)},
]


@pytest.mark.parametrize("change", HOSTILE, ids=lambda change: str(change)[:70])
def test_hostile_bytes_are_refused_without_allocation(change):
    data = with_fields(create(like=0.0), **change).to_bytes()
    tracemalloc.start()
    try:
        with pytest.raises((WireError, ConfigError)):
            Session.from_bytes(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200_000


def test_a_deep_layout_is_refused():
    """At every depth, up to and beyond the one where decoding meets the interpreter's limit."""
    data, leaf = create(like=0.0).to_bytes(), codec.encode(Leaf((), "float64", "number"))
    assert data.count(leaf) == 1
    for depth in range(MAX_DEPTH + 1, 1200):
        with pytest.raises((WireError, ConfigError)):
            Session.from_bytes(data.replace(leaf, b"\x93\xa4list\x91" * depth + leaf + b"\xc2" * depth))


@pytest.mark.parametrize("data", [b"", "text", None, 5, [1, 2], 10**9])
def test_what_is_no_bytes_of_a_session(data):
    with pytest.raises(WireError):
        Session.from_bytes(data)


@settings(max_examples=300)
@given(session=sessions, draw=st.data())
def test_damaged_bytes_give_a_session_that_works_or_a_named_error(session, draw):
    data = bytearray(session.to_bytes())
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    try:
        read = Session.from_bytes(bytes(data))
    except (WireError, ConfigError):
        return
    assert read.to_bytes() == bytes(data)
    assert 0 < read.dim <= 2**36
    assert 1 <= read.ring.bits <= 52
