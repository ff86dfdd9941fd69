"""Weakened twins of Paillier sums, each ours with one defence removed; and what the attacks on them share."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from attacker import CONTEXT, UPDATES

from secagg.scheme import Seat, Session
from secagg.testing import SeededEntropy, TestRound, small_keys
from secagg.wire import codec, frame
from secagg.wire.codec import Message
from secagg_protocols import PaillierKeys, PaillierSum
from secagg_protocols.paillier.opening import SharedOpening, SingleOpening
from secagg_protocols.paillier.party import PaillierParty
from secagg_protocols.paillier.server import PaillierServer

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


def server_of(round_: TestRound) -> PaillierServer:
    machine = round_.coordinator._round._machine
    assert isinstance(machine, PaillierServer)
    return machine


def ask(round_: TestRound, party: int, phase: str, message: Message, update: object = None) -> bytes:
    """The party's reply to any message."""
    index = [p.name for p in round_.scheme.phases].index(phase)
    tag = round_.session.digest[: frame.HALF_DIGEST]
    framed = frame.wrap(frame.ASK, index, party, tag, frame.NO_ASK, codec.encode(message))
    reply = round_.participants[party].answer(framed, update)
    assert reply is not None
    return reply


class AnswersAgain(PaillierSum):
    """Holders whose stage does not move on, and an engine that does not say that they answered."""

    def party(self, *args: Any, **options: Any) -> PaillierParty:
        made = super().party(*args, **options)
        made.__class__ = _Again
        return made


class _Again(PaillierParty):
    def _decrypt(self, ask: Any, stage: Any) -> Any:
        return super()._decrypt(ask, stage)[0], stage


class TakesAnyKey(PaillierSum):
    """Clients that know a key dealt in advance, and encrypt under whatever the server sends."""

    def party(self, session: Session, seat: Seat, saved: bytes | None = None) -> PaillierParty:
        return PaillierSum(self.key_bits).party(session, seat, saved)


class NoProof(PaillierSum):
    """A server that believes every decryption."""

    def server(self, *args: Any, **options: Any) -> PaillierServer:
        made = super().server(*args, **options)
        made.__class__ = _Believing
        return made


class _Believing(PaillierServer):
    @property
    def _opened(self) -> Any:
        opening = super()._opened
        opening.__class__ = _SharedUnchecked if isinstance(opening, SharedOpening) else _SingleUnchecked
        return opening


class _SharedUnchecked(SharedOpening):
    def check(self, holder: int, ciphertexts: Sequence[int], values: Sequence[int], proof: bytes, label: bytes) -> None:
        pass

    def combine(self, values: Mapping[int, Sequence[int]]) -> list[int]:
        return super().combine(values)


class _SingleUnchecked(SingleOpening):
    def check(self, holder: int, ciphertexts: Sequence[int], values: Sequence[int], proof: bytes, label: bytes) -> None:
        pass
