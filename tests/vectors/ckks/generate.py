"""Writes the vectors beside it, or into another folder: `python tests/vectors/ckks/generate.py [FOLDER]`.

Whole rounds with every secret and every message, and single messages that must be refused (`negative.json`). All
randomness is `secagg.testing.SeededEntropy`, and SEAL's own generator starts from a fixed seed for each client, so that
the files come out byte for byte the same.
"""

import hashlib
import json
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import numpy as np
from tenseal import sealapi

from secagg.api import Coordinator, Participant
from secagg.primitives import ckks
from secagg.primitives.entropy import Entropy
from secagg.scheme import Session
from secagg.testing import SeededEntropy, opened
from secagg.wire import codec, frame
from secagg.wire.codec import Message
from secagg_protocols import CkksSum
from secagg_protocols.ckks.messages import AskEncrypted
from secagg_protocols.ckks.stages import Advertised

ENTRIES = 5


@contextmanager
def seal_drawing_from(entropy: Entropy) -> Iterator[None]:
    """Within it a new SEAL context draws seeds and noise from a generator of this seed: one ciphertext's worth."""
    seed = list(struct.unpack("<8Q", entropy(64)))
    plain = sealapi.EncryptionParameters

    def parameters(kind: Any) -> Any:
        made = plain(kind)
        made.set_random_generator(sealapi.Blake2xbPRNGFactory(seed))
        return made

    ckks._seal.cache_clear()
    try:
        with patch.object(sealapi, "EncryptionParameters", parameters):
            yield
    finally:
        ckks._seal.cache_clear()


@dataclass
class Round:
    """One deterministic round.

    Attributes:
        name: of its file.
        about: what it shows.
        scheme, parties, bits: of the session.
        lost: {index: phase from which that party is silent}.
        asks, replies: {phase: {index: bytes}}, once it has run.
    """

    name: str
    about: str
    scheme: CkksSum
    parties: list[int | str]
    bits: int
    lost: dict[int, str]
    asks: dict[str, dict[int, bytes]] = field(default_factory=dict)
    replies: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        like = np.zeros(ENTRIES, np.uint32)
        context = self.name.encode()
        self.session = Session.create(
            self.parties, like, bits=self.bits, context=context, entropy=self.entropy("session")
        )
        self.parameters = self.scheme.parameters(self.session)
        self.names = [phase.name for phase in self.scheme.phases]

    def entropy(self, whose: str) -> SeededEntropy:
        """The source of one party, or of what stands above all."""
        return SeededEntropy(f"ckks/{self.name}/{whose}".encode())

    def update(self, i: int) -> np.ndarray:
        """Client i's update: the ends of the range, and numbers between."""
        drawn = np.frombuffer(self.entropy(f"update {i}")(4 * (ENTRIES - 2)), "<u4") & np.uint32(2**self.bits - 1)
        return np.array([0, 2**self.bits - 1, *drawn], np.uint32)

    def participant(self, i: int) -> Participant:
        """Client i at the start of the round."""
        return Participant(self.scheme, self.session, self.parties[i], entropy=self.entropy(f"client {i}"))

    def answer(self, client: Participant, i: int, ask: bytes) -> bytes:
        """What client i answers, SEAL's part of it too."""
        with seal_drawing_from(self.entropy(f"SEAL of client {i}")):
            reply = client.answer(ask, self.update(i))
        assert reply is not None
        return reply

    def run(self) -> dict[str, Any]:
        """The round as its file has it."""
        server = Coordinator(self.scheme, self.session)
        clients = [self.participant(i) for i in range(len(self.parties))]
        secrets: list[dict[str, Any]] = [{} for _ in clients]
        while (phase := server.phase) is not None:
            self.asks[phase] = {self.session.index(party): ask for party, ask in server.asks().items()}
            self.replies[phase] = {}
            for i, ask in self.asks[phase].items():
                if i in self.lost and self.names.index(self.lost[i]) <= self.names.index(phase):
                    continue
                self.replies[phase][i] = self.answer(clients[i], i, ask)
                server.receive(self.parties[i], self.replies[phase][i])
                stage = clients[i]._round._machine._stage  # type: ignore[attr-defined]
                if isinstance(stage, Advertised):
                    secrets[i]["private"] = stage.private.hex()
                if phase == "encrypted":
                    secrets[i]["update"] = self.update(i).tolist()
            server.close_phase()
        result = server.result
        assert result is not None
        return {
            "about": self.about,
            "scheme": self.scheme.identifier,
            "session": self.session.to_bytes().hex(),
            "clients": secrets,
            "phases": [
                {"name": name, "asks": _hex(self.asks[name]), "replies": _hex(self.replies[name])}
                for name in self.names
            ],
            "contributors": sorted(map(self.session.index, result.contributors)),
            "ring_sum": result.ring_sum.tolist(),
        }


def _hex(messages: Mapping[int, bytes]) -> dict[str, str]:
    """In the order in which they came."""
    return {str(i): message.hex() for i, message in messages.items()}


def rounds() -> list[Round]:
    """Both of them, not run yet."""
    return [
        Round(
            "two_holders",
            "Two clients asked to deal, two key holders: one lost at deal, a client at encrypted. q of 20 bits.",
            CkksSum(holders=2),
            ["a", 1, "1", -7, "\u00e9"],
            8,
            {1: "encrypted", 2: "deal"},
        ),
        Round(
            "one_holder",
            "One key holder: a client lost at keys. Lanes of 64 bits.",
            CkksSum(holders=1),
            list(range(10, 15)),
            32,
            {3: "keys"},
        ),
    ]


Value = Callable[[Any, Mapping[int, Any]], Any]
Change = Mapping[str, Value] | Callable[[bytes], bytes]
"""{field: its new value, from this party's message and all parties'}, or what is done to the frame."""
Row = tuple[str, Change, str] | tuple[str, Change, str, int]
"""What is wrong, the change, the error, and the index of the culprit that it names."""


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _reframed(data: bytes, **changes: Any) -> bytes:
    old = frame.unwrap(data)
    fields = {name: getattr(old, name) for name in ("direction", "phase", "party", "tag", "answers", "body")}
    return frame.wrap(**(fields | changes))


def _set(*indices: int) -> Value:
    return lambda ask, _: sum(1 << i for i in indices).to_bytes(len(ask.contributors), "little")


def _to(value: Any) -> Value:
    return lambda mine, others: value


def _first_of_all_ones(name: str) -> Value:
    """The first coefficient is 2**20 - 1, which is not below the modulus of 20 bits."""
    return lambda mine, _: (int.from_bytes(getattr(mine, name), "little") | 0xFFFFF).to_bytes(
        len(getattr(mine, name)), "little"
    )


LOW_ORDER = bytes(32)
TABLE: dict[tuple[str, str, str, int], list[Row]] = {
    ("two_holders", "server", "keys", 3): [
        ("a changed byte", lambda data: _flip(data, len(data) - 1), "WireError"),
        ("a cut frame", lambda data: data[:-1], "WireError"),
        ("a byte too many, with its checksum", lambda data: _reframed(data, body=data[60:] + b"\0"), "WireError"),
        ("another session's frame", lambda data: _reframed(data, tag=bytes(16)), "WireError"),
        ("an answer to another ask", lambda data: _reframed(data, answers=bytes(16)), "WireError"),
        ("a key of low order", {"key": _to(LOW_ORDER)}, "PeerMisbehaved"),
        ("a key of 31 bytes", {"key": lambda mine, _: mine.key[1:]}, "WireError"),
        ("another party's key", {"key": lambda _, others: others[0].key}, "PeerMisbehaved", 3),
        ("another model", {"context": lambda mine, _: _flip(mine.context, 0)}, "InconsistentModel", 3),
        ("a least cohort of one", {"least": _to(1)}, "WireError"),
        ("a least cohort of more than all", {"least": _to(6)}, "PeerMisbehaved", 3),
    ],
    ("two_holders", "client", "deal", 3): [
        ("another key in its own name", {"keys": lambda ask, _: _flip(ask.keys, 3 * 32)}, "PeerMisbehaved"),
        ("one key twice", {"keys": lambda ask, _: ask.keys[:-32] + ask.keys[-64:-32]}, "PeerMisbehaved"),
        ("a relayed key of low order", {"keys": lambda ask, _: ask.keys[:-32] + LOW_ORDER}, "PeerMisbehaved"),
        ("a key too few", {"keys": lambda ask, _: ask.keys[:-32]}, "WireError"),
        ("a bit set with padding", {"parties": lambda ask, _: bytes([ask.parties[0] | 0x80])}, "WireError"),
    ],
    ("two_holders", "server", "deal", 3): [
        ("a commitment of 31 bytes", {"commitment": lambda mine, _: mine.commitment[1:]}, "WireError"),
        ("a sealed key too few", {"sealed": lambda mine, _: mine.sealed[48:]}, "WireError"),
        ("a sealed key too many", {"sealed": lambda mine, _: mine.sealed + mine.sealed[:48]}, "WireError"),
    ],
    ("two_holders", "client", "encrypted", 4): [
        ("the others have another model", {"context": lambda ask, _: _flip(ask.context, 0)}, "InconsistentModel"),
        ("other parameters", {"parameters": lambda ask, _: _flip(ask.parameters, 0)}, "PeerMisbehaved"),
        ("a dealer that is nobody", {"dealer": _to(5)}, "PeerMisbehaved"),
        ("a dealer's key of low order", {"key": _to(LOW_ORDER)}, "PeerMisbehaved"),
        ("a box of 47 bytes", {"box": lambda ask, _: ask.box[1:]}, "WireError"),
    ],
    ("two_holders", "server", "encrypted", 3): [
        ("coefficients cut", {"body": lambda mine, _: mine.body[:-1]}, "WireError"),
        ("a byte of coefficients too many", {"body": lambda mine, _: mine.body + b"\0"}, "WireError"),
        ("a coefficient that is not below the modulus", {"body": _first_of_all_ones("body")}, "WireError"),
        ("a seed cut", {"seeds": lambda mine, _: mine.seeds[:-1]}, "WireError"),
        ("a seed too many", {"seeds": lambda mine, _: mine.seeds * 2}, "WireError"),
    ],
    ("two_holders", "client", "decrypt", 3): [
        ("a sum without the holder", {"contributors": _set(0, 1, 4), "masks": _to(b"")}, "PeerMisbehaved"),
        ("a sum of fewer than its policy asks for", {"contributors": _set(3, 4), "masks": _to(b"")}, "PolicyRefused"),
        ("no sum of uniform halves", {"masks": _to(b"")}, "WireError"),
        ("a sum that is not below the modulus", {"body": _first_of_all_ones("body"), "masks": _to(b"")}, "WireError"),
        ("a uniform half that is not below the modulus", {"masks": _first_of_all_ones("masks")}, "WireError"),
    ],
    ("two_holders", "server", "decrypt", 3): [
        ("a sum cut", {"vector": lambda mine, _: mine.vector[:-1]}, "WireError"),
        ("a sum with padding", {"vector": lambda mine, _: mine.vector[:-1] + b"\xff"}, "WireError"),
    ],
    ("one_holder", "server", "encrypted", 2): [
        ("coefficients of 42 bits", {"body": lambda mine, _: mine.body[:32]}, "WireError"),
    ],
    ("one_holder", "client", "deal", 1): [
        (
            "fewer keys than its policy asks for",
            {"parties": _to(b"\x03"), "keys": lambda ask, _: ask.keys[:64]},
            "PolicyRefused",
        ),
    ],
}

KEYLESS: dict[str, Change] = {
    "another dealer": {"dealer": _to(0)},
    "another commitment": {"commitment": lambda ask, _: _flip(ask.commitment, 0)},
    "a changed box": {"box": lambda ask, _: _flip(ask.box, 0)},
    "another client's box": {"box": lambda _, others: others[0].box},
}
"""Changes of an ask to encrypt to which a client answers that it was dealt no key."""


def keyless(run: Mapping[str, Round]) -> Iterator[dict[str, Any]]:
    """Those asks as their file has them, of the last client of the first round."""
    messages = run["two_holders"].asks["encrypted"]
    for what, change in KEYLESS.items():
        message = _changed(messages, 4, AskEncrypted, change).hex()
        yield {"name": what, "round": "two_holders.json", "phase": "encrypted", "party": 4, "message": message}


def negative(run: Mapping[str, Round]) -> Iterator[dict[str, Any]]:
    """The refused messages as their file has them: true ones of a round that has run, each changed in one way."""
    for (name, end, phase, party), rows in TABLE.items():
        round_ = run[name]
        messages = (round_.asks if end == "client" else round_.replies)[phase]
        step = round_.scheme.phases[round_.names.index(phase)]
        kind = step.ask if end == "client" else step.reply
        assert kind is not None
        for what, change, expect, *culprit in rows:
            yield {
                "name": what,
                "round": f"{name}.json",
                "end": end,
                "phase": phase,
                "party": party,
                "message": _changed(messages, party, kind, change).hex(),
                "expect": expect,
                "culprits": [round_.parties[i] for i in culprit],
            }


def _changed(messages: Mapping[int, bytes], party: int, kind: type[Message], change: Change) -> bytes:
    if not isinstance(change, Mapping):
        return change(messages[party])
    decoded = {i: opened(message, kind) for i, message in messages.items()}
    values = {name: value(decoded[party], decoded) for name, value in change.items()}
    return _reframed(messages[party], body=codec.encode(msgspec.structs.replace(decoded[party], **values)))


def documents() -> dict[str, bytes]:
    """{file name: contents}."""
    run = {round_.name: round_ for round_ in rounds()}
    found: dict[str, Any] = {f"{name}.json": round_.run() for name, round_ in run.items()}
    found["negative.json"] = {
        "about": "Each message, in place of the true one, gets `expect` from the end that it is for; the asks "
        "in `keyless` get the reply of a client whose box holds no key.",
        "cases": list(negative(run)),
        "keyless": list(keyless(run)),
    }
    return {name: (json.dumps(content, indent=1) + "\n").encode() for name, content in found.items()}


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, content in documents().items():
        (folder / name).write_bytes(content)
        sys.stdout.write(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
