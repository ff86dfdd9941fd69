"""Bytes made to grow when they are decoded: many small things, deep nests, lengths that promise more than comes."""

import msgspec
from decoders import DECODERS

COUNT = 11_000
_CLIP = b"\0\0\0\0\0\0\xf0\x3f"  # 1.0
_LEAF = ["leaf", [], "int8", False]
_EMPTY = ["list", [], False]


def written(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


ANYWHERE = {
    "small integers": written([1] * COUNT),
    "nothings": written([None] * COUNT),
    "empty lists": written([[]] * COUNT),
    "short texts": written([f"{i:x}" for i in range(COUNT)]),
    "a deep nest": b"\x91" * COUNT,
    "one long string": written([b"x" * COUNT]),
    "a list of 2**32 - 1 items": b"\xdd\xff\xff\xff\xff\x01",
    "a string of 2**32 - 1 bytes": b"\x91\xc6\xff\xff\xff\xff\x01",
    "a map of 2**32 - 1 items": b"\xdf\xff\xff\xff\xff",
    "spaces": b" " * COUNT,
    "braces": b"{" * COUNT,
}


def _with(name: str, example: int, changes: dict[int, object]) -> bytes:
    """An example with some of its fields, by their place, replaced."""
    value = msgspec.msgpack.decode(DECODERS[name].examples[example])
    for place, new in changes.items():
        value[place] = new
    return written(value)


def _roster(entries: str) -> bytes:
    return f'{{"version":1,"roster":[{entries}]}}'.encode()


ROUND, STAGE = 2, 3
"""Places in a saved server: what the engine knows, and the open phase's stage, which is encoded by itself."""
ROLL = (STAGE, 0, 0, 0)
"""There, at the last phase: the stage's sum, what was dealt, and the keys."""


def _server_with(place: tuple[int, ...], value: object) -> bytes:
    """A server that was saved in the last phase, with another value at one place."""
    state = msgspec.msgpack.decode(DECODERS["secagg server state"].examples[-2])
    state[STAGE] = msgspec.msgpack.decode(state[STAGE])
    *above, last = place
    node = state
    for at in above:
        node = node[at]
    node[last] = value
    state[STAGE] = written(state[STAGE])
    return written(state)


AIMED = [
    ("session", _with("session", 0, {2: list(range(COUNT))})),
    ("session", _with("session", 0, {2: [f"{i:x}" for i in range(COUNT)]})),
    ("session", _with("session", 0, {2: [0] * COUNT})),
    ("session", _with("session", 0, {3: [["list", [_LEAF] * COUNT, False]], 5: [_CLIP] * COUNT})),
    ("session", _with("session", 0, {3: [["list", [_EMPTY] * COUNT, False]], 5: []})),
    ("session", _with("session", 0, {3: [["dict", list(range(COUNT)), [_EMPTY] * COUNT]], 5: []})),
    ("session", _with("session", 0, {3: [["leaf", [1] * COUNT, "int8", False]]})),
    ("session", _with("session", 0, {3: [["leaf", [2**35], "int8", False]], 5: [_CLIP]})),
    ("session", _with("session", 0, {5: [b""] * COUNT})),
    ("layout", written([["list", [_LEAF] * COUNT, False]])),
    ("layout", written([["dict", list(range(COUNT)), [_EMPTY] * COUNT]])),
    ("ledger", written([[[b"", []]] * COUNT])),
    ("ledger", written([[[b"x" * 32, list(range(COUNT))]]])),
    ("ledger", written([[[b"x" * 32, [f"{i:x}" for i in range(COUNT)]]]])),
    ("ledger", written([[[i.to_bytes(32), [1]] for i in range(COUNT // 30)]])),
    ("roster", _roster(",".join(f'{{"party":{i},"key":"{i:064x}"}}' for i in range(COUNT // 60)))),
    ("roster", _roster(",".join(['{"party":1,"key":""}'] * COUNT))),
    ("roster", _roster('{"party":1,"key":"' + " " * COUNT + '"}')),
    ("roster", _roster('{"party":' + "1" * COUNT + ',"key":""}')),
    ("secagg server state", _server_with((ROUND, 1), [1] * COUNT)),
    ("secagg server state", _server_with((ROUND, 1), list(range(COUNT)))),
    ("secagg server state", _server_with((ROUND, 2), [[0, {}]] * COUNT)),
    ("secagg server state", _server_with((ROUND, 3), [[b""] * COUNT, {}])),
    ("secagg server state", _server_with((ROUND, 3), [[b""], dict.fromkeys(range(COUNT), 0)])),
    ("secagg server state", _server_with((ROUND, 4), dict.fromkeys(range(COUNT), b""))),
    ("secagg server state", _server_with((ROUND, 6), dict.fromkeys(range(COUNT), ""))),
    ("secagg server state", _server_with((*ROLL, 0), {2**64 - 1: b"", 0: b"", 1: b"", 2: b""})),
    ("secagg server state", _server_with((*ROLL, 0), dict.fromkeys(range(COUNT), b""))),
    ("secagg server state", _server_with((*ROLL[:-1], 3), [0, 1, 2, 9])),
    ("secagg server state", _server_with((*ROLL[:-1], 3), list(range(COUNT)))),
    ("secagg server state", _server_with((STAGE, 4), {i: [1] for i in range(COUNT)})),
    ("secagg server state", _server_with((STAGE, 4), {0: [1] * COUNT})),
]
