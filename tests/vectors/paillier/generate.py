"""Makes the files beside it: a key of 2048 bits whose secrets everybody knows, and what it encrypts and opens; whole
rounds, under that key and under a fresh one; and messages that must be refused.

    python generate.py          writes them anew; the same bytes every time

For tests alone: whoever has this folder opens all that is encrypted under these keys.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from secagg.api import Coordinator, Participant
from secagg.primitives import passphrase
from secagg.primitives.paillier import primes
from secagg.primitives.paillier.threshold import deal_factors
from secagg.scheme import Session
from secagg.testing import SeededEntropy, opened
from secagg.wire import codec, frame
from secagg_protocols import PaillierSum
from secagg_protocols.paillier import PaillierKeys, keys
from secagg_protocols.paillier.stages import Offered
from secagg_protocols.paillier.terms import read_private

FOLDER = Path(__file__).parent
WARNING = "TEST KEY: its secrets are public. Never encrypt anything under it."
HOLDERS = ["hospital-1", "hospital-2", 3]
PASSPHRASE = b"test key, known to everybody"
LABEL = b"known answers"
ENTRIES, BITS = 60, 32
"""Of an update: two plaintexts."""
SIZE = 512
"""Bytes of a ciphertext."""


def document() -> tuple[bytes, bytes]:
    """known_answers.json, and test.key: a file as `PaillierKeys.save` writes it."""
    draw = SeededEntropy(b"vectors/paillier")
    p, q = primes.distinct_primes(1024, safe=True, entropy=draw)
    key, shares = deal_factors(p, q, 3, 2, draw)
    n = key.public.n
    plaintexts = [0, 1, n - 1, int.from_bytes(draw(255)), (1 << 2040) - 1]
    exponents = [0, 1, (1 << 1024) - 1, *(int.from_bytes(draw(128)) for _ in range(2))]
    ciphertexts = key.public.encrypt_with(plaintexts, exponents)
    opened = [key.partial_decrypt(share, ciphertexts, draw, LABEL) for share in shares]
    text = {
        "warning": WARNING,
        "p": hex(p),
        "q": hex(q),
        "n": hex(n),
        "h": hex(key.public.h),
        "threshold": 2,
        "base": hex(key.base),
        "verifiers": [*map(hex, key.verifiers)],
        "shares": [hex(share.exponent) for share in shares],
        "plaintexts": [*map(hex, plaintexts)],
        "exponents": [*map(hex, exponents)],
        "ciphertexts": [*map(hex, ciphertexts)],
        "label": LABEL.hex(),
        "partials": [[*map(hex, row)] for row, _ in opened],
        "proofs": [proof.hex() for _, proof in opened],
    }
    made = PaillierKeys(HOLDERS, key, dict(zip(HOLDERS, shares, strict=True)))
    file = passphrase.protect(codec.encode(made._saved(secrets=True)), PASSPHRASE, keys._PURPOSE, draw)
    return json.dumps(text, indent=1).encode() + b"\n", file


@dataclass
class Round:
    """One deterministic round.

    Attributes:
        name: of its file.
        about: what it shows.
        parties: of the session.
        lost: {index: phase from which that party is silent}.
        keys: dealt in advance, or None.
        helpers: of the scheme.
        asks, replies: {phase: {index: bytes}}, once it has run.
    """

    name: str
    about: str
    parties: list[int | str]
    lost: dict[int, str]
    keys: PaillierKeys | None = None
    helpers: tuple[int | str, ...] = ()
    asks: dict[str, dict[int, bytes]] = field(default_factory=dict)
    replies: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.session = Session.create(
            self.parties,
            np.zeros(ENTRIES, np.uint32),
            bits=BITS,
            context=self.name.encode(),
            entropy=self.entropy("session"),
        )
        self.names = [phase.name for phase in self.scheme().phases]

    def entropy(self, whose: str) -> SeededEntropy:
        """The source of one party, or of what stands above all."""
        return SeededEntropy(f"vectors/paillier/{self.name}/{whose}".encode())

    def scheme(self, party: int | str | None = None) -> PaillierSum:
        """As that party has it, or the server."""
        if self.keys is None:
            return PaillierSum()
        share = self.keys.share(party) if party in self.keys.holders else self.keys.public
        return PaillierSum(keys=share, helpers=self.helpers)

    def update(self, i: int) -> np.ndarray:
        """Client i's update: the ends of the range, and numbers between."""
        return np.array([0, 2**BITS - 1, *np.frombuffer(self.entropy(f"update {i}")(4 * (ENTRIES - 2)), "<u4")], "<u4")

    def participant(self, i: int) -> Participant:
        """Party i at the start of the round."""
        party = self.parties[i]
        return Participant(self.scheme(party), self.session, party, entropy=self.entropy(f"party {i}"))

    def coordinator(self) -> Coordinator:
        """The server at the start of the round."""
        return Coordinator(self.scheme(), self.session)

    def run(self) -> dict[str, Any]:
        """The round as its file has it."""
        server = self.coordinator()
        parties = [self.participant(i) for i in range(len(self.parties))]
        fresh: dict[str, dict[str, str]] = {}
        while (phase := server.phase) is not None:
            self.asks[phase] = {self.session.index(party): ask for party, ask in server.asks().items()}
            self.replies[phase] = {}
            for i, ask in self.asks[phase].items():
                if i in self.lost and self.names.index(self.lost[i]) <= self.names.index(phase):
                    continue
                reply = parties[i].answer(ask, self.update(i))
                assert reply is not None
                self.replies[phase][i] = reply
                server.receive(self.parties[i], reply)
                fresh |= _factors(i, parties[i])
            server.close_phase()
        assert server.result is not None
        holders = {} if self.keys is None else {party: number for number, party in enumerate(self.keys.holders, 1)}
        contributors = sorted(map(self.session.index, server.result.contributors))
        return {
            "warning": WARNING,
            "about": self.about,
            "session": self.session.to_bytes().hex(),
            "least": 3,
            "holders": {str(i): holders[party] for i, party in enumerate(self.parties) if party in holders},
            "helpers": sorted(map(self.session.index, self.helpers)),
            "keys": fresh,
            "updates": {str(i): _packed(self.update(i)).hex() for i in contributors},
            "phases": [
                {"name": name, "asks": _hex(self.asks[name]), "replies": _hex(self.replies[name])}
                for name in self.names
            ],
            "contributors": contributors,
            "ring_sum": server.result.ring_sum.tolist(),
        }


def _factors(i: int, party: Participant) -> dict[str, dict[str, str]]:
    """Of the fresh key that this party has just made."""
    stage = party._round._machine._stage  # type: ignore[attr-defined]
    if not isinstance(stage, Offered):
        return {}
    key = read_private(stage.private)
    return {str(i): {"p": hex(key.factors[0]), "q": hex(key.factors[1]), "h": hex(key.public.h)}}


def _packed(update: np.ndarray) -> bytes:
    return update.astype("<u4").tobytes()


def _hex(messages: Mapping[int, bytes]) -> dict[str, str]:
    return {str(i): message.hex() for i, message in sorted(messages.items())}


def rounds() -> list[Round]:
    """The two of them, not run yet."""
    shared = PaillierKeys.load(FOLDER / "test.key", PASSPHRASE)
    return [
        Round(
            "dealt",
            "The key of known_answers.json, 2 of 3 holders, one a helper; losses at encrypted and decrypt.",
            ["hospital-1", "hospital-2", "client", -1, 3],
            {3: "encrypted", 1: "decrypt"},
            shared,
            (3,),
        ),
        Round("fresh", "A fresh key of one holder; the first candidate is lost at deal.", list(range(4)), {0: "deal"}),
    ]


Field = Callable[[Any, Mapping[int, Any]], Any]
"""(this party's message, all parties' messages of the phase) to a field's new value."""
Change = Mapping[str, Field] | Callable[[bytes], bytes]
"""{field: its new value}, or what is done to the frame."""
Lie = tuple[str, Change, str] | tuple[str, Change, str, int]
"""What is wrong, the change, the error, and the index of the culprit that it names."""


def _to(value: Any) -> Field:
    return lambda mine, others: value


def _cut(name: str) -> Mapping[str, Field]:
    return {name: lambda mine, others: getattr(mine, name)[:-1]}


def _flip(name: str) -> Mapping[str, Field]:
    """The last bit."""
    return {name: lambda mine, others: getattr(mine, name)[:-1] + bytes([getattr(mine, name)[-1] ^ 1])}


def _first(name: str, value: int, size: int = SIZE) -> Mapping[str, Field]:
    """The first number of a row."""
    return {name: lambda mine, others: value.to_bytes(size) + getattr(mine, name)[size:]}


def _swapped(name: str) -> Mapping[str, Field]:
    def halves(mine: Any, others: Any) -> bytes:
        data = getattr(mine, name)
        return data[len(data) // 2 :] + data[: len(data) // 2]

    return {name: halves}


def _of(name: str, party: int) -> Mapping[str, Field]:
    """As another party sent it."""
    return {name: lambda mine, others: getattr(others[party], name)}


def _set(*indices: int) -> Mapping[str, Field]:
    return {"contributors": _to(sum(1 << i for i in indices).to_bytes(1))}


def _reframed(data: bytes, **changes: Any) -> bytes:
    """The frame with other header fields and a right checksum."""
    old = frame.unwrap(data)
    fields = {name: getattr(old, name) for name in ("direction", "phase", "party", "tag", "answers", "body")}
    return frame.wrap(**(fields | changes))


ALL_ONES = 2 ** (8 * SIZE) - 1
FRAMES: list[Lie] = [
    ("a changed byte", lambda data: data[:-1] + bytes([data[-1] ^ 1]), "WireError"),
    ("a cut frame", lambda data: data[:-1], "WireError"),
    ("a byte too many, with its checksum", lambda data: _reframed(data, body=data[60:] + b"\0"), "WireError"),
    ("another session's frame", lambda data: _reframed(data, tag=bytes(16)), "WireError"),
    ("another party's frame", lambda data: _reframed(data, party=3), "WireError"),
]

LIES: Mapping[tuple[str, str, str, int], list[Lie]] = {
    ("dealt", "client", "encrypted", 0): [
        ("a key, where one was dealt in advance", {"key": _to(bytes(SIZE))}, "PeerMisbehaved"),
        ("a holder, where the key was dealt in advance", {"holder": _to(0)}, "PeerMisbehaved"),
    ],
    ("dealt", "server", "encrypted", 1): [
        ("another model", {"context": _to(bytes(32))}, "InconsistentModel", 1),
        ("a context of no size", {"context": _to(b"")}, "InconsistentModel", 1),
        ("encrypted under another key", {"key": _to(bytes(32))}, "PeerMisbehaved", 1),
        ("a ciphertext of zero", _first("ciphertexts", 0), "WireError"),
        ("a ciphertext beyond n squared", _first("ciphertexts", ALL_ONES), "WireError"),
        ("ciphertexts that are cut", _cut("ciphertexts"), "WireError"),
        ("one ciphertext", {"ciphertexts": lambda mine, _: mine.ciphertexts[:SIZE]}, "WireError"),
        ("no ciphertexts", {"ciphertexts": _to(b"")}, "WireError"),
        ("a least cohort of one", {"least": _to(1)}, "WireError"),
        ("a least cohort of more than the clients", {"least": _to(5)}, "PeerMisbehaved", 1),
    ],
    ("dealt", "client", "decrypt", 0): [
        ("what others received, to open", {"context": _to(bytes(32))}, "InconsistentModel"),
        ("a sum without the holder's own vector", _set(1, 2, 3), "PeerMisbehaved"),
        ("a sum of two", _set(0, 2), "PolicyRefused"),
        ("a helper among the contributors", _set(0, 1, 2, 4), "PeerMisbehaved"),
        ("set padding", {"contributors": _to(b"\xe7")}, "WireError"),
        ("contributors of no size", {"contributors": _to(b"")}, "WireError"),
        ("a ciphertext of zero, to open", _first("ciphertexts", 0), "WireError"),
        ("ciphertexts that are cut, to open", _cut("ciphertexts"), "WireError"),
    ],
    ("dealt", "server", "decrypt", 4): [
        ("a partial decryption with another bit", _flip("values"), "PeerMisbehaved"),
        ("partial decryptions in the other order", _swapped("values"), "PeerMisbehaved"),
        ("another holder's partial decryptions", _of("values", 0), "PeerMisbehaved"),
        ("a partial decryption of zero", _first("values", 0), "WireError"),
        ("a partial decryption beyond n squared", _first("values", ALL_ONES), "WireError"),
        ("partial decryptions that are cut", _cut("values"), "WireError"),
        ("another answer in the proof", _flip("proof"), "PeerMisbehaved"),
        ("another holder's proof", _of("proof", 0), "PeerMisbehaved"),
        ("a proof that is cut", _cut("proof"), "WireError"),
    ],
    ("fresh", "client", "deal", 2): FRAMES,
    ("fresh", "server", "deal", 2): [
        ("an even modulus", {"key": lambda mine, _: mine.key[:255] + b"\0" + mine.key[256:]}, "WireError"),
        ("a key that is cut", _cut("key"), "WireError"),
        ("a key of another size", {"key": lambda mine, _: bytes(1) + mine.key[1:]}, "WireError"),
        ("h of zero", {"key": lambda mine, _: mine.key[:256] + bytes(256)}, "WireError"),
        ("another candidate's key", _of("key", 1), "PeerMisbehaved"),
        ("another candidate's proof of its key", _of("proof", 1), "PeerMisbehaved"),
        ("roots in another order", {"proof": lambda mine, _: mine.proof[256:] + mine.proof[:256]}, "PeerMisbehaved"),
        ("a root of zero", _first("proof", 0, 256), "WireError"),
        ("eight roots", {"proof": lambda mine, _: mine.proof[256:]}, "WireError"),
    ],
    ("fresh", "client", "encrypted", 1): [
        ("its own key in another's name", {"holder": _to(2)}, "PeerMisbehaved"),
        ("h of another Jacobi symbol", {"key": lambda mine, _: mine.key[:-1] + bytes([mine.key[-1] ^ 2])}, "WireError"),
        ("no key", {"key": _to(b"")}, "WireError"),
        ("a key of another size, to encrypt under", {"key": lambda mine, _: mine.key[:-2]}, "WireError"),
        ("a modulus with a small factor", {"key": lambda mine, _: _divisible(mine.key)}, "WireError"),
    ],
    ("fresh", "client", "encrypted", 2): [
        ("a holder of no index", {"holder": _to(4)}, "PeerMisbehaved"),
        ("another's key in its name", {"holder": _to(2)}, "PeerMisbehaved"),
    ],
    ("fresh", "server", "decrypt", 1): [
        ("a plaintext with another bit", _flip("values"), "PeerMisbehaved"),
        ("plaintexts in the other order", _swapped("values"), "PeerMisbehaved"),
        ("a plaintext beyond n", _first("values", 2**2048 - 1, 256), "WireError"),
        ("plaintexts that are cut", _cut("values"), "WireError"),
        ("roots of the opening in another order", _swapped("proof"), "WireError"),
        ("another root of the opening", _first("proof", 2, 256), "PeerMisbehaved"),
        ("a root of the opening of zero", _first("proof", 0, 256), "WireError"),
        ("eight roots of the opening", {"proof": lambda mine, _: mine.proof[256:]}, "WireError"),
    ],
}


def _divisible(key: bytes) -> bytes:
    """n as the next multiple of three, odd."""
    n = int.from_bytes(key[:256])
    return (n + next(step for step in (2, 4) if (n + step) % 3 == 0)).to_bytes(256) + key[256:]


def negative(run: Mapping[str, Round]) -> Iterator[dict[str, Any]]:
    """The lies as their file has them: a true message with one thing changed, and what its reader must say."""
    for (name, end, phase, party), lies in LIES.items():
        round_ = run[name]
        kinds = round_.scheme().phases[round_.names.index(phase)]
        kind = kinds.ask if end == "client" else kinds.reply
        messages = (round_.asks if end == "client" else round_.replies)[phase]
        assert kind is not None
        for about, change, expect, *culprits in lies:
            yield {
                "name": about,
                "round": f"{name}.json",
                "end": end,
                "phase": phase,
                "party": party,
                "message": _told(messages, party, kind, change).hex(),
                "expect": expect,
                "culprits": [round_.parties[i] for i in culprits],
            }


def _told(messages: Mapping[int, bytes], party: int, kind: type[codec.Message], change: Change) -> bytes:
    true = messages[party]
    if not isinstance(change, Mapping):
        return change(true)
    decoded = {i: opened(message, kind) for i, message in messages.items()}
    changes = {name: value(decoded[party], decoded) for name, value in change.items()}
    return _reframed(true, body=codec.encode(msgspec.structs.replace(decoded[party], **changes)))


def round_documents() -> dict[str, bytes]:
    """{file name: contents} of rounds and refused messages, under the key in test.key."""
    run = {round_.name: round_ for round_ in rounds()}
    found: dict[str, Any] = {f"{name}.json": round_.run() for name, round_ in run.items()}
    found["negative.json"] = {
        "about": "Each message, in place of the true one, gets `expect` from the end that it is for.",
        "cases": list(negative(run)),
    }
    return {name: json.dumps(content, indent=1).encode() + b"\n" for name, content in found.items()}


if __name__ == "__main__":
    known, file = document()
    (FOLDER / "known_answers.json").write_bytes(known)
    (FOLDER / "test.key").write_bytes(file)
    sys.stdout.write(f"{len(known)} and {len(file)} bytes\n")
    for name, content in round_documents().items():
        (FOLDER / name).write_bytes(content)
        sys.stdout.write(f"{name}: {len(content)} bytes\n")
