"""A round among parties in this process whose messages a test may watch, change, repeat or lose."""

import os
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import msgspec

from secagg.api import Coordinator, Participant, Prepared, prepare
from secagg.api.local import LocalRound, seats_for
from secagg.encoding.layout import Update
from secagg.engine.exchange import tag_of
from secagg.errors import PartyId
from secagg.primitives.entropy import Entropy
from secagg.scheme import Policy, Scheme, Session
from secagg.wire import codec, frame
from secagg.wire.codec import Message

M = TypeVar("M", bound=Message)

Tamper = Callable[[str, PartyId, bytes], bytes | None]
"""(phase, party, message) to what arrives instead, or None when nothing does."""


def deliver(_phase: str, _party: PartyId, message: bytes) -> bytes | None:
    """Change nothing."""
    return message


class TestRound(LocalRound):
    """Drives one round phase by phase.

    Args:
        scheme, session, updates, weights, lost: as `LocalRound` has them.
        policy, entropy: of every participant.
        asks, replies: what happens to messages on their way.
        restart: save, forget and restore both ends before every phase and every answer.
        prepared: parties that answer the first phase before the session, which then has a run; `replies` sees
            what they send as of that phase.

    Attributes:
        credentials, roster: identities made for this round, where the scheme is authenticated.
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
        self.sent: dict[tuple[str, PartyId], bytes] = {}
        self._asks, self._replies = asks, replies
        self._restart = restart
        self._key = os.urandom(32)
        self._ahead = prepared
        super().__init__(scheme, session, updates, weights, lost, seats_for(scheme, session, policy, entropy))

    def ends(self) -> tuple[Coordinator, dict[PartyId, Participant]]:
        """Both ends, which know what was prepared."""
        seats = self.seats.values()
        self.credentials = {seat.party: seat.credentials for seat in seats if seat.credentials is not None}
        self.roster = next((each.roster for each in self.credentials.values()), None)
        ahead = {party: self._prepared(party) for party in self._ahead}
        coordinator = Coordinator(self.scheme, self.session, self.roster, self._arrived(ahead))
        return coordinator, {
            seat.party: Participant(self.scheme, self.session, seat, prepared=ahead.get(seat.party)) for seat in seats
        }

    def exchange(self) -> None:
        """One phase, left open."""
        self._restart_server()
        super().exchange()

    def answer(self, phase: str, party: PartyId, ask: bytes) -> bytes | None:
        """One party's reply as it arrives; the server may have restarted by then."""
        arrived = self._asks(phase, party, ask)
        if arrived is None:
            return None
        self._restart_party(party)
        reply = super().answer(phase, party, arrived)
        if reply is None:
            return None
        self.sent[phase, party] = reply
        self._restart_server()
        return self._replies(phase, party, reply)

    def _prepared(self, party: PartyId) -> Prepared:
        prepared = prepare(self.scheme, self.seats[party], run=self.session.run, round=self.session.round)
        return Prepared.restore(prepared.save(self._key), self._key) if self._restart else prepared

    def _arrived(self, ahead: Mapping[PartyId, Prepared]) -> dict[PartyId, bytes]:
        """What the server has of that when the session begins."""
        first = self._names[0]
        for party, prepared in ahead.items():
            self.sent[first, party] = prepared.message
        present = [party for party in ahead if not self.is_silent(party, first)]
        arrived = {party: self._replies(first, party, ahead[party].message) for party in present}
        return {party: message for party, message in arrived.items() if message is not None}

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


def asking(scheme: Scheme, session: Session, phase: str, party: PartyId, message: Message) -> bytes:
    """The ask to a party with that message in it, as a server frames it, whatever it says."""
    place = [each.name for each in scheme.phases].index(phase)
    tag = tag_of(scheme, session)
    return frame.wrap(frame.ASK, place, session.index(party), tag, frame.NO_ASK, codec.encode(message))


def opened(message: bytes, kind: type[M]) -> M:
    """The `kind` in a frame."""
    return codec.decode(frame.unwrap(message).body, kind)
