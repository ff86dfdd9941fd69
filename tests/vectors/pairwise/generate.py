"""Writes the vectors beside it, or into another folder: `python tests/vectors/pairwise/generate.py [FOLDER]`.

Whole rounds with every secret and every message, and single messages that must be refused (`negative.json`). All
randomness is `secagg.testing.SeededEntropy`, so that the files come out byte for byte the same.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from lies import Lie, lies

from secagg.api import Coordinator, Participant, Prepared, prepare
from secagg.scheme import Credentials, Session
from secagg.testing import SeededEntropy
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.stages import Advertised, Dealt, Ready

ENTRIES = 5
NUMBER = 7
"""Of the round with prepared keys."""


@dataclass
class Round:
    """One deterministic round.

    Attributes:
        name: of its file.
        about: what it shows.
        scheme, parties, bits: of the session.
        lost: {index: phase from which that party is silent}.
        prepared: indices of those who advertised before the session.
        asks, replies: {phase: {index: bytes}}, once it has run.
    """

    name: str
    about: str
    scheme: PairwiseMasking
    parties: list[int | str]
    bits: int
    lost: dict[int, str]
    prepared: tuple[int, ...] = ()
    asks: dict[str, dict[int, bytes]] = field(default_factory=dict)
    replies: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        like = np.zeros(ENTRIES, np.uint32)
        self.session = Session.create(
            self.parties,
            like,
            bits=self.bits,
            context=self.name.encode(),
            family=self.entropy("family")(16) if self.prepared else b"",
            round=NUMBER if self.prepared else 0,
            entropy=self.entropy("session"),
        )
        self.members = Credentials.generate(self.parties, self.entropy("identities")) if self.active else {}
        self.names = [phase.name for phase in self.scheme.phases]

    @property
    def active(self) -> bool:
        """Whether parties sign."""
        return self.scheme.authenticated

    def entropy(self, whose: str) -> SeededEntropy:
        """The source of one party, or of what stands above all."""
        return SeededEntropy(f"{self.name}/{whose}".encode())

    def update(self, i: int) -> np.ndarray:
        """Client i's update: the ends of the range, and numbers between."""
        drawn = np.frombuffer(self.entropy(f"update {i}")(4 * (ENTRIES - 2)), "<u4") & np.uint32(2**self.bits - 1)
        return np.array([0, 2**self.bits - 1, *drawn], np.uint32)

    def participant(self, i: int) -> Participant:
        """Client i at the start of the round."""
        party = self.parties[i]
        return Participant(
            self.scheme,
            self.session,
            party,
            entropy=self.entropy(f"client {i}"),
            credentials=self.members.get(party),
            prepared=self.ahead(i) if i in self.prepared else None,
        )

    def ahead(self, i: int) -> Prepared:
        """What client i made before the session."""
        party = self.parties[i]
        return prepare(
            self.scheme,
            party,
            family=self.session.family,
            round=self.session.round,
            entropy=self.entropy(f"client {i}, ahead"),
            credentials=self.members.get(party),
        )

    def coordinator(self) -> Coordinator:
        """The server at the start of the round."""
        roster = self.members[self.parties[0]].roster if self.active else None
        prepared = {self.parties[i]: self.ahead(i).message for i in self.prepared}
        return Coordinator(self.scheme, self.session, roster, prepared)

    def run(self) -> dict[str, Any]:
        """The round as its file has it."""
        server = self.coordinator()
        clients = [self.participant(i) for i in range(len(self.parties))]
        secrets: list[dict[str, Any]] = [dict(_secrets(client)) for client in clients]
        for i, party in enumerate(self.parties):
            if self.active:
                secrets[i]["identity"] = self.members[party].identity.hex()
        while (phase := server.phase) is not None:
            self.asks[phase] = {self.session.index(party): ask for party, ask in server.asks().items()}
            self.replies[phase] = {}
            for i, ask in self.asks[phase].items():
                if self.names.index(self.lost.get(i, phase)) > self.names.index(phase) or i not in self.lost:
                    reply = clients[i].answer(ask, self.update(i))
                    assert reply is not None
                    self.replies[phase][i] = reply
                    server.receive(self.parties[i], reply)
                    secrets[i] |= _secrets(clients[i])
                    if phase == "masked":
                        secrets[i]["update"] = self.update(i).tolist()
            server.close_phase()
        assert server.result is not None
        return self._document(secrets, server)

    def _document(self, secrets: list[dict[str, Any]], server: Coordinator) -> dict[str, Any]:
        terms, result = self.scheme.terms(self.session), server.result
        assert result is not None
        roster = [[party, self.members[party].roster.key(party).hex()] for party in self.parties if self.active]
        return {
            "about": self.about,
            "scheme": self.scheme.identifier,
            "terms": {"complete": terms.complete, "degree": terms.degree, "threshold": terms.threshold},
            "session": self.session.to_bytes().hex(),
            "roster": roster or None,
            "clients": secrets,
            "prepared": _hex({i: self.ahead(i).message for i in self.prepared}),
            "phases": [
                {"name": name, "asks": _hex(self.asks[name]), "replies": _hex(self.replies[name])}
                for name in self.names
            ],
            "contributors": sorted(map(self.session.index, result.contributors)),
            "ring_sum": result.ring_sum.tolist(),
        }


def _secrets(client: Participant) -> dict[str, str]:
    """What the client's stage holds and the round's checks need."""
    stage = client._round._machine._stage  # type: ignore[attr-defined]
    if isinstance(stage, Ready | Advertised):
        return {"sealing": stage.sealing.hex(), "mask": stage.mask.hex()}
    return {"seed": stage.seed.hex()} if isinstance(stage, Dealt) else {}


def _hex(messages: Mapping[int, bytes]) -> dict[str, str]:
    return {str(i): message.hex() for i, message in sorted(messages.items())}


def rounds() -> list[Round]:
    """The five of them, not run yet."""
    mixed: list[int | str] = ["a", 1, "1", -7, "\u00e9"]
    return [
        Round(
            "complete",
            "SecAgg, passive: one client lost at masked, another at unmask. Lanes of 32 bits.",
            PairwiseMasking(threshold=3),
            mixed,
            16,
            {1: "masked", 4: "unmask"},
        ),
        Round(
            "regular",
            "SecAgg+, passive: a client lost at each of keys, shares and masked. Lanes of 16 bits.",
            PairwiseMasking(neighbours=6),
            list(range(10)),
            8,
            {2: "keys", 5: "shares", 7: "masked"},
        ),
        Round(
            "complete_active",
            "SecAgg, active: one client lost at masked, another at consistency. Lanes of 64 bits.",
            PairwiseMasking(threshold=4, adversary="active"),
            [*mixed, "f"],
            32,
            {0: "masked", 3: "consistency"},
        ),
        Round(
            "regular_active",
            "SecAgg+, active: a client lost at each of keys, masked, consistency and unmask. Lanes of 32 bits.",
            PairwiseMasking(neighbours=6, adversary="active"),
            list(range(100, 112)),
            20,
            {1: "keys", 9: "masked", 0: "consistency", 8: "unmask"},
        ),
        Round(
            "prepared_active",
            "SecAgg, active: three advertisements prepared before the session; losses at keys and masked.",
            PairwiseMasking(threshold=4, adversary="active"),
            [*mixed, "f"],
            16,
            {4: "keys", 0: "masked"},
            prepared=(0, 2, 5),
        ),
    ]


def negative(run: Mapping[str, Round]) -> list[dict[str, Any]]:
    """The lies as their file has them."""
    return [
        {
            "name": lie.name,
            "round": f"{lie.round}.json",
            "end": lie.end,
            "phase": lie.phase,
            "party": lie.party,
            "message": _told(lie, run[lie.round]).hex(),
            "expect": lie.expect,
            "culprits": [] if lie.culprit is None else [run[lie.round].parties[lie.culprit]],
        }
        for lie in lies()
    ]


def _told(lie: Lie, round_: Round) -> bytes:
    """The message with which the lie is told."""
    messages = (round_.asks if lie.end == "client" else round_.replies)[lie.phase]
    phase = round_.scheme.phases[round_.names.index(lie.phase)]
    kind = phase.ask if lie.end == "client" else phase.reply
    assert kind is not None
    return lie.tell(messages, kind)


def documents() -> dict[str, bytes]:
    """{file name: contents}."""
    run = {round_.name: round_ for round_ in rounds()}
    found: dict[str, Any] = {f"{name}.json": round_.run() for name, round_ in run.items()}
    found["negative.json"] = {
        "about": "Each message, in place of the true one, gets `expect` from the end that it is for.",
        "cases": negative(run),
    }
    return {name: (json.dumps(content, indent=1) + "\n").encode() for name, content in found.items()}


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, content in documents().items():
        (folder / name).write_bytes(content)
        sys.stdout.write(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
