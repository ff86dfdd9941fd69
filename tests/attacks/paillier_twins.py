"""Weakened twins of Paillier sums, each ours with one defence removed; and what the attacks on them share."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from attacker import CONTEXT, UPDATES

from secagg.scheme import Answer, Seat, Session
from secagg.testing import SeededEntropy, TestRound, asking, small_keys
from secagg.wire.codec import Message
from secagg_protocols import PaillierKeys, PaillierSum
from secagg_protocols.paillier.opening import SharedOpening, SingleOpening
from secagg_protocols.paillier.parameters import Parameters
from secagg_protocols.paillier.party import PaillierParty
from secagg_protocols.paillier.server import Decrypting

BITS = 256
N = 5
with small_keys(BITS):
    KEYS = PaillierKeys.generate([0, 1, 2], 2, BITS, SeededEntropy(5))


@pytest.fixture(autouse=True)
def keys_are_small() -> Iterator[None]:
    """Import it into a file of attacks."""
    with small_keys(BITS):
        yield


def make_round(scheme: PaillierSum, n: int = N, **options: Any) -> TestRound:
    return TestRound(scheme, Session.create(range(n), UPDATES[0], context=CONTEXT), UPDATES, **options)


def played(round_: TestRound, until: str) -> TestRound:
    """Honest up to a phase."""
    while round_.coordinator.phase != until:
        round_.step()
    return round_


class Opens:
    """What the server of a round knows in phase "decrypt".

    Attributes:
        parameters: of the round.
        opening: who opens, and how.
        numbers: {party: its number in the key}.
        reachable: the holders that it asks.
    """

    def __init__(self, round_: TestRound) -> None:
        stage, parameters = round_.coordinator._stage, round_.coordinator._known
        assert isinstance(stage, Decrypting)
        self.parameters: Parameters = parameters
        self.opening = stage.key.opening(parameters)
        self.numbers = stage.key.numbers(parameters)
        self.reachable = stage.key.reachable(parameters, stage.contributors)


def ask(round_: TestRound, party: int, phase: str, message: Message, update: object = None) -> bytes:
    """The party's reply to any message."""
    framed = asking(round_.scheme, round_.session, phase, party, message)
    reply = round_.participants[party].answer(framed, update)
    assert reply is not None
    return reply


class AnswersAgain(PaillierSum):
    """Holders whose stage does not move on, and an engine that does not say that they answered."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        *before, decrypt = self.phases
        self.phases = *before, replace(decrypt, answer=_again)


def _again(party: PaillierParty, ask: Any, stage: Any) -> Answer:
    return replace(party.decrypt(ask, stage), stage=stage)


class TakesAnyKey(PaillierSum):
    """Clients that know a key dealt in advance, and encrypt under whatever the server sends."""

    def party(self, session: Session, seat: Seat, saved: bytes | None = None) -> PaillierParty:
        return PaillierSum(self.key_bits).party(session, seat, saved)


def without_proofs(monkeypatch: Any) -> None:
    """A server that believes every decryption."""
    for opening in (SharedOpening, SingleOpening):
        monkeypatch.setattr(opening, "check", lambda *_: None)
