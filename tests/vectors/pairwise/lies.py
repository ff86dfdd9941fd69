"""Messages that must be refused: each a true message of a round that has run, with one thing changed."""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from secagg.primitives import agreement
from secagg.testing import opened
from secagg.wire import codec, frame
from secagg.wire.codec import Message
from secagg_protocols.pairwise import derive

Field = Callable[[Any, Mapping[int, Any]], bytes]
"""(this party's message, all parties' messages of the phase) to a field's new value."""
Change = Mapping[str, Field] | Callable[[bytes], bytes]
"""{field: its new value}, or what is done to the frame."""
Row = tuple[str, Change, str] | tuple[str, Change, str, int]
"""What is wrong, the change, the error, and the index of the culprit that it names."""


@dataclass(frozen=True)
class Lie:
    """One changed message.

    Attributes:
        name: what is wrong.
        round: name of the round.
        end: where it arrives, "client" or "server".
        phase, party: whose ask or reply it is.
        change: what is changed.
        expect: the error of that end.
        culprit: index of the party that the error names; None for the server, or nobody.
    """

    name: str
    round: str
    end: str
    phase: str
    party: int
    change: Change
    expect: str
    culprit: int | None = None

    def tell(self, messages: Mapping[int, bytes], kind: type[Message]) -> bytes:
        """The lie, made of all parties' true messages of that phase."""
        true = messages[self.party]
        if not isinstance(self.change, Mapping):
            return self.change(true)
        decoded = {i: opened(message, kind) for i, message in messages.items()}
        mine = decoded[self.party]
        changes = {name: value(mine, decoded) for name, value in self.change.items()}
        return _reframed(true, body=codec.encode(msgspec.structs.replace(mine, **changes)))


def lies() -> Iterator[Lie]:
    """All of them."""
    for where, rows in TABLE.items():
        for row in rows:
            yield Lie(row[0], *where, *row[1:])


def _set(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def _flip(data: bytes, at: int) -> bytes:
    return _set(data, at, bytes([data[at] ^ 1]))


def _swap(data: bytes, size: int, a: int, b: int) -> bytes:
    first, second = data[size * a :][:size], data[size * b :][:size]
    return _set(_set(data, size * a, second), size * b, first)


def _cut(data: bytes, size: int, row: int) -> bytes:
    return data[: size * row] + data[size * (row + 1) :]


def _to(value: bytes) -> Field:
    return lambda mine, others: value


def _contributors(*indices: int) -> Mapping[str, Field]:
    return {"contributors": lambda ask, _: sum(1 << i for i in indices).to_bytes(len(ask.contributors), "little")}


def _with_its_own(ask: Any) -> list[int]:
    """Signers shown to client 5 of the regular graph, one of them replaced by client 5."""
    return sorted([*struct.unpack("<4I", ask.signers)[1:], 5])


def _signatures(asks: Mapping[int, Any]) -> dict[int, bytes]:
    """{signer: signature of the set}, of all that were relayed."""
    return {
        signer: ask.signatures[64 * at :][:64]
        for ask in asks.values()
        for at, signer in enumerate(struct.unpack("<4I", ask.signers))
    }


def _reframed(data: bytes, **changes: Any) -> bytes:
    """The frame with other header fields and a right checksum."""
    old = frame.unwrap(data)
    fields = {name: getattr(old, name) for name in ("direction", "phase", "party", "tag", "answers", "body")}
    return frame.wrap(**(fields | changes))


NOBODY_S_KEY = agreement.public_key(bytes(31) + b"s")

BROKEN: list[Row] = [
    ("a changed byte", lambda data: _flip(data, len(data) - 1), "WireError"),
    ("a cut frame", lambda data: data[:-1], "WireError"),
    ("less than a header", lambda data: data[:59], "WireError"),
    ("a byte too many", lambda data: data + b"\0", "WireError"),
    ("a byte too many, with its checksum", lambda data: _reframed(data, body=data[60:] + b"\0"), "WireError"),
    ("another session's frame", lambda data: _reframed(data, tag=bytes(16)), "WireError"),
    ("another party's frame", lambda data: _reframed(data, party=3), "WireError"),
    ("a frame the other way round", lambda data: _reframed(data, direction=1 - data[5]), "WireError"),
]

TABLE: Mapping[tuple[str, str, str, int], list[Row]] = {
    ("complete", "client", "shares", 2): [
        ("signatures in passive mode", {"signatures": _to(bytes(64))}, "WireError"),
        ("one public key twice", {"keys": lambda ask, _: _set(ask.keys, 64, ask.keys[:32])}, "PeerMisbehaved"),
        ("a key of low order", {"keys": lambda ask, _: _set(ask.keys, 64, bytes(32))}, "PeerMisbehaved"),
        (
            "the client as its own neighbour",
            {"parties": lambda ask, _: _set(ask.parties, 4, struct.pack("<I", 2))},
            "PeerMisbehaved",
        ),
        ("parties that are not ascending", {"parties": lambda ask, _: _swap(ask.parties, 4, 0, 1)}, "WireError"),
        (
            "a party beyond the last",
            {"parties": lambda ask, _: _set(ask.parties, 12, struct.pack("<I", 5))},
            "WireError",
        ),
    ],
    ("regular", "client", "shares", 0): [
        (
            "fewer neighbours than shares open a secret",
            {
                "parties": lambda ask, _: ask.parties[: 4 * 3],
                "keys": lambda ask, _: ask.keys[: 64 * 3],
            },
            "PeerMisbehaved",
        ),
    ],
    ("complete_active", "client", "shares", 2): [
        (
            "a changed signature of an advertisement",
            {"signatures": lambda ask, _: _flip(ask.signatures, 64 * 4)},
            "PeerMisbehaved",
        ),
        (
            "another key under a signature",
            {"keys": lambda ask, _: _set(ask.keys, 64 * 4, NOBODY_S_KEY)},
            "PeerMisbehaved",
        ),
        (
            "another key in the client's own name",
            {"keys": lambda ask, _: _set(ask.keys, 64 * 2, NOBODY_S_KEY)},
            "PeerMisbehaved",
        ),
        (
            "the client's own advertisement left out",
            {
                "parties": lambda ask, _: _cut(ask.parties, 4, 2),
                "keys": lambda ask, _: _cut(ask.keys, 64, 2),
                "signatures": lambda ask, _: _cut(ask.signatures, 64, 2),
            },
            "PeerMisbehaved",
        ),
        ("advertisements without signatures", {"signatures": _to(b"")}, "WireError"),
    ],
    ("prepared_active", "client", "shares", 1): [
        (
            "an advertisement of the session shown as a prepared one",
            {"prepared": _to(b"\x17")},
            "PeerMisbehaved",
        ),
        (
            "a prepared advertisement shown as one of the session",
            {"prepared": _to(b"\x14")},
            "PeerMisbehaved",
        ),
        ("no word of what was prepared", {"prepared": _to(b"")}, "PeerMisbehaved"),
        ("a bit set of prepared advertisements without any", {"prepared": _to(b"\x00")}, "WireError"),
        ("bits beyond the last advertisement", {"prepared": _to(b"\x35")}, "WireError"),
    ],
    ("complete_active", "client", "shares", 1): [
        ("prepared advertisements in a session of no family", {"prepared": _to(b"\x01")}, "PeerMisbehaved"),
    ],
    ("regular_active", "client", "shares", 5): [
        (
            "signatures of two advertisements that changed places",
            {"signatures": lambda ask, _: _swap(ask.signatures, 64, 6, 7)},
            "PeerMisbehaved",
        ),
    ],
    ("complete", "client", "masked", 2): [
        (
            "neighbours who were given another model",
            {"context": _to(derive.context_digest(b"another"))},
            "InconsistentModel",
        ),
        (
            "fewer dealers than shares open a secret",
            {
                "dealers": lambda ask, _: ask.dealers[:4],
                "sealed": lambda ask, _: ask.sealed[:128],
                "hashes": lambda ask, _: ask.hashes[:64],
            },
            "PeerMisbehaved",
        ),
        (
            "the client as a dealer",
            {"dealers": lambda ask, _: _set(ask.dealers, 8, struct.pack("<I", 2))},
            "PeerMisbehaved",
        ),
        ("a sealed pair too few", {"sealed": lambda ask, _: ask.sealed[128:]}, "WireError"),
        *[(f"{name}, at a client", change, expect) for name, change, expect in BROKEN],  # type: ignore[misc]
        ("an ask out of order", lambda data: _reframed(data, phase=3), "PeerMisbehaved"),
        ("an ask of no phase", lambda data: _reframed(data, phase=4), "WireError"),
    ],
    ("complete_active", "client", "consistency", 2): [
        ("a set to sign without the client itself", _contributors(1, 3, 4, 5), "PeerMisbehaved"),
        ("a set to sign under the threshold", _contributors(1, 2, 3), "PeerMisbehaved"),
        ("a set to sign of two", _contributors(1, 2), "PolicyRefused"),
    ],
    ("regular_active", "client", "consistency", 5): [
        ("a contributor that never advertised", _contributors(*range(9), 10, 11), "PeerMisbehaved"),
    ],
    ("complete", "client", "unmask", 2): [
        ("a set to open without the client itself", _contributors(0, 3, 4), "PeerMisbehaved"),
        ("a set to open of two", _contributors(2, 3), "PolicyRefused"),
        ("bits beyond the last party", {"contributors": _to(b"\xff")}, "WireError"),
        ("a set of another length", {"contributors": _to(b"\x1d\0")}, "WireError"),
        ("signatures of a set in passive mode", {"signatures": _to(bytes(64))}, "WireError"),
    ],
    ("complete_active", "client", "unmask", 2): [
        ("another set than the client signed", _contributors(1, 2, 4, 5), "PeerMisbehaved"),
        (
            "one signature too few",
            {"signers": lambda ask, _: ask.signers[:12], "signatures": lambda ask, _: ask.signatures[: 64 * 3]},
            "PeerMisbehaved",
        ),
        ("no signatures", {"signers": _to(b""), "signatures": _to(b"")}, "PeerMisbehaved"),
        ("a forged signature", {"signatures": lambda ask, _: _flip(ask.signatures, 0)}, "PeerMisbehaved"),
        (
            "signatures of a set that changed places",
            {"signatures": lambda ask, _: _swap(ask.signatures, 64, 0, 1)},
            "PeerMisbehaved",
        ),
        (
            "one signature twice",
            {
                "signers": lambda ask, _: _set(ask.signers, 4, ask.signers[:4]),
                "signatures": lambda ask, _: _set(ask.signatures, 64, ask.signatures[:64]),
            },
            "WireError",
        ),
    ],
    ("regular_active", "client", "unmask", 5): [
        (
            "the signature of a client that holds none of this one's shares",
            {
                "signers": lambda ask, _: struct.pack("<4I", *_with_its_own(ask)),
                "signatures": lambda ask, others: b"".join(_signatures(others)[i] for i in _with_its_own(ask)),
            },
            "PeerMisbehaved",
        ),
    ],
    ("complete", "server", "keys", 2): [
        ("a signature in passive mode", {"signature": _to(bytes(64))}, "WireError"),
        ("another's public key", {"mask": lambda _, others: others[0].sealing}, "PeerMisbehaved", 2),
        ("one key for both purposes", {"mask": lambda mine, _: mine.sealing}, "PeerMisbehaved", 2),
        ("a public key of low order", {"mask": _to(bytes(32))}, "PeerMisbehaved"),
        ("a short public key", {"mask": _to(bytes(31))}, "WireError"),
    ],
    ("complete_active", "server", "keys", 2): [
        ("an advertisement without a signature", {"signature": _to(b"")}, "PeerMisbehaved", 2),
        (
            "another's signature of an advertisement",
            {"signature": lambda _, others: others[0].signature},
            "PeerMisbehaved",
            2,
        ),
        ("a key that was not signed", {"mask": _to(NOBODY_S_KEY)}, "PeerMisbehaved", 2),
        (
            "another's advertisement",
            {
                "sealing": lambda _, others: others[0].sealing,
                "mask": lambda _, others: others[0].mask,
                "signature": lambda _, others: others[0].signature,
            },
            "PeerMisbehaved",
            2,
        ),
    ],
    ("complete", "server", "shares", 2): [
        (
            "another model, round or configuration",
            {"context": _to(derive.context_digest(b"another"))},
            "InconsistentModel",
            2,
        ),
        ("a sealed pair too few, dealt", {"sealed": lambda mine, _: mine.sealed[128:]}, "WireError"),
        ("a hash too few", {"hashes": lambda mine, _: mine.hashes[32:]}, "WireError"),
        ("a short commitment", {"commitment": lambda mine, _: mine.commitment[1:]}, "WireError"),
    ],
    ("complete", "server", "masked", 2): [
        ("a vector that is too long", {"vector": lambda mine, _: mine.vector + b"\0"}, "WireError"),
        ("bits after a vector's last entry", {"vector": lambda mine, _: mine.vector[:-1] + b"\xff"}, "WireError"),
        *[(f"{name}, at the server", change, expect) for name, change, expect in BROKEN],  # type: ignore[misc]
        ("a reply to another ask", lambda data: _reframed(data, answers=bytes(16)), "WireError"),
        ("a reply before its phase", lambda data: _reframed(data, phase=3), "WireError"),
    ],
    ("complete_active", "server", "consistency", 2): [
        ("another's signature of a set", {"signature": lambda _, others: others[1].signature}, "PeerMisbehaved", 2),
    ],
    ("complete", "server", "unmask", 2): [
        (
            "a share that its dealer never published",
            {"shares": lambda mine, _: _flip(mine.shares, 0)},
            "PeerMisbehaved",
            2,
        ),
        ("a share with another salt", {"shares": lambda mine, _: _flip(mine.shares, 40)}, "PeerMisbehaved", 2),
        ("fewer shares than it says it holds", {"shares": lambda mine, _: mine.shares[56:]}, "WireError"),
        ("more shares than it says it holds", {"held": _to(b"\x0f")}, "WireError"),
    ],
}
"""{(round, end, phase, party): its lies}."""
