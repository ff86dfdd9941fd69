"""A round among parties in this process whose messages a test may watch, change, repeat or lose."""

import os
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import msgspec

from secagg.api import Aggregate, Coordinator, Participant, Prepared, prepare
from secagg.encoding.layout import Update
from secagg.errors import LocalMisuse, PartyId, ProtocolError, WireError
from secagg.primitives.entropy import Entropy
from secagg.scheme import Credentials, Policy, Scheme, Seat, Session
from secagg.wire import codec, frame
from secagg.wire.codec import Message

M = TypeVar("M", bound=Message)

Tamper = Callable[[str, PartyId, bytes], bytes | None]
"""(phase, party, message) to what arrives instead, or None when nothing does."""


def deliver(_phase: str, _party: PartyId, message: bytes) -> bytes | None:
    """Change nothing."""
    return message


class TestRound:
    """Drives one round phase by phase.

    Args:
        scheme, session: the round.
        updates: {party: update}, of clients.
        weights: {party: weight}, where the session has weights.
        lost: {party: phase from which it is silent}.
        policy, entropy: of every participant.
        asks, replies: what happens to messages on their way.
        restart: save, forget and restore both ends before every phase and every answer.
        prepared: parties that answer the first phase before the session, which then has a run; `replies` sees
            what they send as of that phase.

    Attributes:
        credentials, roster: identities made for this round, where the scheme is authenticated.
        seats: {party: what it brought at first}.
        refusals: {party: the ProtocolError or WireError with which it refused an ask}.
        sent: {(phase, party): the reply as it left}.
    """

    __test__ = False

    def __init__(
        self,
        scheme: Scheme,
        session: Session,
        updates: Mapping[PartyId, Update],
        *,
        weights: Mapping[PartyId, int] | None = None,
        lost: Mapping[PartyId, str] | None = None,
        policy: Policy | None = None,
        entropy: Entropy = os.urandom,
        asks: Tamper = deliver,
        replies: Tamper = deliver,
        restart: bool = False,
        prepared: Collection[PartyId] = (),
    ) -> None:
        self.scheme = scheme
        self.session = session
        self.credentials = Credentials.generate(session.parties, entropy) if scheme.authenticated else {}
        self.roster = self.credentials[session.parties[0]].roster if self.credentials else None
        self.refusals: dict[PartyId, ProtocolError | WireError] = {}
        self.sent: dict[tuple[str, PartyId], bytes] = {}
        self._updates = updates
        self._weights = weights or {}
        self._names = [phase.name for phase in scheme.phases]
        self._lost = lost or {}
        self._asks, self._replies = asks, replies
        self._restart = restart
        self._key = os.urandom(32)
        self.seats = {
            party: Seat(party, policy or Policy(), None, entropy, self.credentials.get(party))
            for party in session.parties
        }
        ahead = {party: self._prepared(party) for party in prepared}
        self.coordinator = Coordinator(scheme, session, self.roster, self._arrived(ahead))
        self.participants = {
            party: Participant(scheme, session, self.seats[party], prepared=ahead.get(party))
            for party in session.parties
        }

    def run(self) -> Aggregate:
        """All phases. Raises what the coordinator raises."""
        while not self.coordinator.done:
            self.step()
        if self.coordinator.result is None:
            raise LocalMisuse("the round is over and has no result")
        return self.coordinator.result

    def step(self) -> None:
        """One phase: ask, answer, receive, close."""
        self.exchange()
        self.coordinator.close_phase()

    def exchange(self) -> None:
        """One phase, left open."""
        self._restart_server()
        for party, ask in self.coordinator.asks().items():
            phase = self.coordinator.phase or ""
            if self._is_silent(party, phase):
                continue
            reply = self._answer(phase, party, ask)
            if reply is not None:
                self.coordinator.receive(party, reply)
                self._restart_server()

    def _prepared(self, party: PartyId) -> Prepared:
        prepared = prepare(self.scheme, self.seats[party], run=self.session.run, round=self.session.round)
        return Prepared.restore(prepared.save(self._key), self._key) if self._restart else prepared

    def _arrived(self, ahead: Mapping[PartyId, Prepared]) -> dict[PartyId, bytes]:
        """What the server has of that when the session begins."""
        first = self._names[0]
        for party, prepared in ahead.items():
            self.sent[first, party] = prepared.message
        present = [party for party in ahead if not self._is_silent(party, first)]
        arrived = {party: self._replies(first, party, ahead[party].message) for party in present}
        return {party: message for party, message in arrived.items() if message is not None}

    def _is_silent(self, party: PartyId, phase: str) -> bool:
        return party in self._lost and self._names.index(self._lost[party]) <= self._names.index(phase)

    def _answer(self, phase: str, party: PartyId, ask: bytes) -> bytes | None:
        arrived = self._asks(phase, party, ask)
        if arrived is None:
            return None
        self._restart_party(party)
        try:
            reply = self.participants[party].answer(arrived, self._updates.get(party), self._weights.get(party, 1))
        except (ProtocolError, WireError) as refusal:
            self.refusals[party] = refusal
            return None
        if reply is None:
            return None
        self.sent[phase, party] = reply
        return self._replies(phase, party, reply)

    def _restart_server(self) -> None:
        if self._restart:
            self.coordinator = Coordinator.restore(
                self.scheme, self.coordinator.save(self._key), self._key, self.roster
            )

    def _restart_party(self, party: PartyId) -> None:
        if self._restart:
            before = self.participants[party]
            self.participants[party] = Participant.restore(
                self.scheme, before.save(self._key), self._key, before.seat, latch=before.step
            )


def rewritten(message: bytes, kind: type[Message], **changes: object) -> bytes:
    """The frame with some fields of its `kind` changed, as a peer that lies would have made it."""
    old = frame.unwrap(message)
    body = codec.encode(msgspec.structs.replace(codec.decode(old.body, kind), **changes))
    return frame.wrap(old.direction, old.phase, old.party, old.tag, old.answers, body)


def opened(message: bytes, kind: type[M]) -> M:
    """The `kind` in a frame."""
    return codec.decode(frame.unwrap(message).body, kind)
