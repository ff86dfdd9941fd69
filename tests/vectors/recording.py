"""Whole rounds that a label decides, recorded with every secret and every message.

All randomness is `secagg.testing.SeededEntropy`, so that a family's files come out byte for byte the same.
"""

import hashlib
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from secagg.api import Coordinator, Participant
from secagg.scheme import Scheme, Seat, Session
from secagg.testing import SeededEntropy


@dataclass
class Round(ABC):
    """One deterministic round; what differs between families is said by a subclass.

    Attributes:
        label: what the family's entropy starts with.
        entries: of an update.
        name: of its file.
        about: what it shows.
        scheme: as the server has it.
        parties, bits: of the session.
        lost: {index: phase from which that party is silent}.
        asks, replies: {phase: {index: bytes}}, once it has run.
        secrets: {field: value} of each party, once it has run.
    """

    label: ClassVar[str]
    entries: ClassVar[int] = 5

    name: str
    about: str
    scheme: Scheme
    parties: list[int | str]
    bits: int
    lost: dict[int, str]
    asks: dict[str, dict[int, bytes]] = field(init=False, default_factory=dict)
    replies: dict[str, dict[int, bytes]] = field(init=False, default_factory=dict)
    secrets: list[dict[str, Any]] = field(init=False, default_factory=list)

    @abstractmethod
    def shown(self, i: int, stage: Any) -> dict[str, str]:
        """Secrets of party i that its stage holds and a reader needs."""

    @abstractmethod
    def preamble(self) -> dict[str, Any]:
        """What the file says before the phases, once the round has run."""

    def slot(self) -> dict[str, Any]:
        """Further arguments of the session."""
        return {}

    def participant(self, i: int) -> Participant:
        """Party i at the start of the round."""
        return Participant(self.scheme, self.session, Seat(self.parties[i], entropy=self.entropy(f"client {i}")))

    def coordinator(self) -> Coordinator:
        """The server at the start of the round."""
        return Coordinator(self.scheme, self.session)

    def answer(self, participant: Participant, i: int, ask: bytes) -> bytes:
        """What party i answers."""
        reply = participant.answer(ask, self.update(i))
        assert reply is not None
        return reply

    @cached_property
    def session(self) -> Session:
        """The session, the same every time."""
        return Session.create(
            self.parties,
            np.zeros(self.entries, np.uint32),
            bits=self.bits,
            context=self.name.encode(),
            entropy=self.entropy("session"),
            **self.slot(),
        )

    def entropy(self, whose: str) -> SeededEntropy:
        """The source of one party, or of what stands above all."""
        return SeededEntropy(f"{self.label}{self.name}/{whose}".encode())

    def update(self, i: int) -> np.ndarray:
        """Party i's update: the ends of the range, and numbers between."""
        largest = 2**self.bits - 1
        drawn = np.frombuffer(self.entropy(f"update {i}")(4 * (self.entries - 2)), "<u4") & np.uint32(largest)
        return np.array([0, largest, *drawn], np.uint32)

    def updates(self) -> dict[int, np.ndarray]:
        """{index: update} of those who sent theirs, once the round has run."""
        phase = next(phase.name for phase in self.scheme.phases if phase.takes_input)
        return {i: self.update(i) for i in self.replies[phase]}

    def clients(self) -> list[dict[str, Any]]:
        """Each party's secrets, its update among them, once the round has run."""
        updates = {i: {"update": update.tolist()} for i, update in self.updates().items()}
        return [secrets | updates.get(i, {}) for i, secrets in enumerate(self.secrets)]

    def run(self) -> dict[str, Any]:
        """The round as its file has it."""
        server = self.coordinator()
        parties = [self.participant(i) for i in range(len(self.parties))]
        self.secrets = [self.shown(i, _stage(party)) for i, party in enumerate(parties)]
        silent: set[int] = set()
        while (phase := server.phase) is not None:
            silent |= {i for i, lost in self.lost.items() if lost == phase}
            self.asks[phase] = {self.session.index(party): ask for party, ask in server.asks().items()}
            self.replies[phase] = {}
            for i, ask in self.asks[phase].items():
                if i not in silent:
                    self.replies[phase][i] = self.answer(parties[i], i, ask)
                    server.receive(self.parties[i], self.replies[phase][i])
                    self.secrets[i] |= self.shown(i, _stage(parties[i]))
            server.close_phase()
        assert server.result is not None
        return {
            **self.preamble(),
            "phases": [
                {"name": phase, "asks": _hex(self.asks[phase]), "replies": _hex(self.replies[phase])}
                for phase in self.asks
            ],
            "contributors": sorted(map(self.session.index, server.result.contributors)),
            "ring_sum": server.result.ring_sum.tolist(),
        }


def _stage(participant: Participant) -> Any:
    assert participant._machine is not None, "nobody refuses"
    return participant._machine.stage


def _hex(messages: Mapping[int, bytes]) -> dict[str, str]:
    return {str(i): message.hex() for i, message in sorted(messages.items())}


def recorded(rounds: Iterable[Round]) -> dict[str, Any]:
    """{file name: document} of rounds, which it runs."""
    return {f"{round_.name}.json": round_.run() for round_ in rounds}


def texts(documents: Mapping[str, Any]) -> dict[str, bytes]:
    """{file name: contents}."""
    return {name: (json.dumps(document, indent=1) + "\n").encode() for name, document in documents.items()}


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """The files into that folder, or the one that the command line names, with their SHA-256."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else folder
    for name, content in files.items():
        (folder / name).write_bytes(content)
        sys.stdout.write(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
