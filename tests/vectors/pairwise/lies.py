"""The lies of pairwise masking."""

import struct
from collections.abc import Mapping
from typing import Any

from lying import Lies, contributors, flip, frames, of, reframed, to

from secagg.primitives import agreement
from secagg_protocols.pairwise import derive


def _set(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def _swap(data: bytes, size: int, a: int, b: int) -> bytes:
    first, second = data[size * a :][:size], data[size * b :][:size]
    return _set(_set(data, size * a, second), size * b, first)


def _cut(data: bytes, size: int, row: int) -> bytes:
    return data[: size * row] + data[size * (row + 1) :]


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


NOBODY_S_KEY = agreement.public_key(bytes(31) + b"s")

LIES: Lies = {
    ("complete", "client", "shares", 2): [
        ("signatures in passive mode", {"signatures": to(bytes(64))}, "WireError"),
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
            {"signatures": lambda ask, _: flip(ask.signatures, 64 * 4)},
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
        ("advertisements without signatures", {"signatures": to(b"")}, "WireError"),
    ],
    ("prepared_active", "client", "shares", 1): [
        ("an advertisement of the session shown as a prepared one", {"prepared": to(b"\x17")}, "PeerMisbehaved"),
        ("a prepared advertisement shown as one of the session", {"prepared": to(b"\x14")}, "PeerMisbehaved"),
        ("no word of what was prepared", {"prepared": to(b"")}, "PeerMisbehaved"),
        ("a bit set of prepared advertisements without any", {"prepared": to(b"\x00")}, "WireError"),
        ("bits beyond the last advertisement", {"prepared": to(b"\x35")}, "WireError"),
    ],
    ("complete_active", "client", "shares", 1): [
        ("prepared advertisements in a session of no run", {"prepared": to(b"\x01")}, "PeerMisbehaved"),
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
            {"context": to(derive.context_digest(b"another"))},
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
        *frames(where=", at a client"),
        ("an ask out of order", lambda data: reframed(data, phase=3), "PeerMisbehaved"),
        ("an ask of no phase", lambda data: reframed(data, phase=4), "WireError"),
    ],
    ("complete_active", "client", "consistency", 2): [
        ("a set to sign without the client itself", contributors(1, 3, 4, 5), "PeerMisbehaved"),
        ("a set to sign under the threshold", contributors(1, 2, 3), "PeerMisbehaved"),
        ("a set to sign of two", contributors(1, 2), "PolicyRefused"),
    ],
    ("regular_active", "client", "consistency", 5): [
        ("a contributor that never advertised", contributors(*range(7), *range(8, 12)), "PeerMisbehaved"),
    ],
    ("complete", "client", "unmask", 2): [
        ("a set to open without the client itself", contributors(0, 3, 4), "PeerMisbehaved"),
        ("a set to open of two", contributors(2, 3), "PolicyRefused"),
        ("bits beyond the last party", {"contributors": to(b"\xff")}, "WireError"),
        ("a set of another length", {"contributors": to(b"\x1d\0")}, "WireError"),
        ("signatures of a set in passive mode", {"signatures": to(bytes(64))}, "WireError"),
    ],
    ("complete_active", "client", "unmask", 2): [
        ("another set than the client signed", contributors(1, 2, 4, 5), "PeerMisbehaved"),
        (
            "one signature too few",
            {"signers": lambda ask, _: ask.signers[:12], "signatures": lambda ask, _: ask.signatures[: 64 * 3]},
            "PeerMisbehaved",
        ),
        ("no signatures", {"signers": to(b""), "signatures": to(b"")}, "PeerMisbehaved"),
        ("a forged signature", {"signatures": lambda ask, _: flip(ask.signatures, 0)}, "PeerMisbehaved"),
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
        ("a signature in passive mode", {"signature": to(bytes(64))}, "WireError"),
        ("another's public key", {"mask": lambda _, others: others[0].sealing}, "PeerMisbehaved", 2),
        ("one key for both purposes", {"mask": lambda mine, _: mine.sealing}, "PeerMisbehaved", 2),
        ("a public key of low order", {"mask": to(bytes(32))}, "PeerMisbehaved"),
        ("a short public key", {"mask": to(bytes(31))}, "WireError"),
    ],
    ("complete_active", "server", "keys", 2): [
        ("an advertisement without a signature", {"signature": to(b"")}, "PeerMisbehaved", 2),
        ("another's signature of an advertisement", of(0, "signature"), "PeerMisbehaved", 2),
        ("a key that was not signed", {"mask": to(NOBODY_S_KEY)}, "PeerMisbehaved", 2),
        ("another's advertisement", of(0, "sealing", "mask", "signature"), "PeerMisbehaved", 2),
    ],
    ("complete", "server", "shares", 2): [
        (
            "another model, round or configuration",
            {"context": to(derive.context_digest(b"another"))},
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
        *frames(where=", at the server"),
        ("a reply to another ask", lambda data: reframed(data, answers=bytes(16)), "WireError"),
        ("a reply before its phase", lambda data: reframed(data, phase=3), "WireError"),
    ],
    ("complete_active", "server", "consistency", 2): [
        ("another's signature of a set", of(1, "signature"), "PeerMisbehaved", 2),
    ],
    ("complete", "server", "unmask", 2): [
        (
            "a share that its dealer never published",
            {"shares": lambda mine, _: flip(mine.shares, 0)},
            "PeerMisbehaved",
            2,
        ),
        ("a share with another salt", {"shares": lambda mine, _: flip(mine.shares, 40)}, "PeerMisbehaved", 2),
        ("fewer shares than it says it holds", {"shares": lambda mine, _: mine.shares[56:]}, "WireError"),
        ("more shares than it says it holds", {"held": to(b"\x0f")}, "WireError"),
    ],
}
