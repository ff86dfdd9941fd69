"""A network that does everything a network must not, over one round, from one seed."""

import os
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from secagg.api import Aggregate, Coordinator, Participant, Prepared, prepare
from secagg.api.local import seats_for
from secagg.encoding.layout import Update
from secagg.errors import LocalMisuse, PartyId, ProtocolError, StateError, WireError
from secagg.scheme import Scheme, Seat, Session
from secagg.wire import frame


@dataclass(frozen=True)
class Schedule:
    """What befalls a round, and when.

    Attributes:
        seed: of all of it; equal seeds make equal choices.
        harshness: odds that a message meets a fault, in [0, 1]; 0 is a sound network whose server stays up. None draws
            it too, mild ones more often.
        earlier: messages of other rounds to replay, such as another transport's `traffic`.
    """

    seed: int
    harshness: float | None = None
    earlier: Sequence[bytes] = ()


@dataclass(frozen=True)
class _Parcel:
    """Bytes on their way: an ask to `party`, or a reply that the transport says is from `party`."""

    to_server: bool
    party: PartyId
    data: bytes


class HostileTransport:
    """Drives one round over bytes that are dropped, delayed, repeated, reordered, cut, flipped, replayed or misrouted.

    Deadlines pass early, the server is put back to any of its saved states, and parties are restarted from theirs.
    It forges no checksum: what is damaged can be told, by whoever looks.

    Args:
        scheme, session: the round.
        train: (party) to its update; called whenever a party makes one, and may answer differently each time.
        schedule: of its faults.
        seats: what each party brings; see `secagg.api.local.seats_for`.
        prepared: parties that answer the first phase before the session; that message meets the same faults.

    Attributes:
        steps: messages handled; at most `max_steps`.
        replies: {(phase, party): the different replies that left}; a sound party has one.
        submitted: {party: the update behind the reply that took it}.
        refusals: {party: the errors with which it refused asks, in order}.
        stale: parties that were put back to an older state and therefore refused to start.
        traffic: every message that was sent.
        results: of the server, in all its lives.
    """

    FAULTS = ("drop", "delay", "repeat", "truncate", "flip", "misroute", "replay", "bounce")
    PATIENCE = 12
    """Messages a party that the server handles in one phase before the deadline passes."""
    LIVES = 4
    """Of the server, at most."""

    def __init__(
        self,
        scheme: Scheme,
        session: Session,
        train: Callable[[PartyId], Update],
        schedule: Schedule,
        seats: Mapping[PartyId, Seat] | None = None,
        prepared: Collection[PartyId] = (),
    ) -> None:
        self.scheme = scheme
        self.session = session
        self.steps = 0
        self.replies: defaultdict[tuple[str, PartyId], set[bytes]] = defaultdict(set)
        self.submitted: dict[PartyId, Update] = {}
        self.refusals: defaultdict[PartyId, list[Exception]] = defaultdict(list)
        self.stale: set[PartyId] = set()
        self.traffic: list[bytes] = []
        self.results: list[Aggregate] = []
        self._train = train
        self._draw = random.Random(schedule.seed)
        self._harshness = self._draw.random() ** 4 if schedule.harshness is None else schedule.harshness
        self._earlier = list(schedule.earlier)
        self._seats = seats_for(scheme, session) if seats is None else seats
        self._key = os.urandom(32)
        self._roster = self._seats[session.parties[0]].roster
        ahead = {party: self._prepared(party) for party in prepared}
        self.coordinator = Coordinator(scheme, session, self._roster, self._arrived(ahead))
        self.participants = {
            party: Participant(scheme, session, seat, prepared=ahead.get(party)) for party, seat in self._seats.items()
        }
        self._server_states = [self.coordinator.save(self._key)]
        self._party_states = {party: [each.save(self._key)] for party, each in self.participants.items()}
        self._crashes_left = self._draw.randrange(self.LIVES) if self._happens(0.5) and self._harshness else 0
        self._redelivers = False
        self._flying: list[_Parcel] = []
        self._late: list[_Parcel] = []

    def _prepared(self, party: PartyId) -> Prepared:
        return prepare(self.scheme, self._seats[party], run=self.session.run, round=self.session.round)

    def _arrived(self, ahead: Mapping[PartyId, Prepared]) -> dict[PartyId, bytes]:
        """What the server has of that when the session begins: the last of what came in each party's name."""
        arrived = {}
        for party, prepared in ahead.items():
            self.traffic.append(prepared.message)
            parcel = _Parcel(True, party, prepared.message)
            fault = self._draw.choice(self.FAULTS) if self._happens(self._harshness) else None
            if fault in ("drop", "delay", "bounce"):
                continue
            if fault == "misroute":
                parcel = replace(parcel, party=self._draw.choice(self.session.parties))
            elif fault == "replay":
                parcel = replace(parcel, data=self._draw.choice(self.traffic + self._earlier))
            elif fault in ("truncate", "flip"):
                parcel = replace(parcel, data=self._damaged(parcel.data, fault))
            arrived[parcel.party] = parcel.data
        return arrived

    @property
    def max_steps(self) -> int:
        """Messages that are handled at most, whatever the seed."""
        return self.LIVES * len(self.scheme.phases) * self._patience

    def run(self) -> Aggregate:
        """The whole round, the server's later lives included. Raises what the last of them ended in.

        Raises:
            TooFew, PeerMisbehaved: as `Coordinator.close_phase`.
        """
        while True:
            try:
                self._live()
            except ProtocolError:
                if not self._crashes_left:
                    raise
            else:
                if not self._crashes_left:
                    return self.results[-1]
            self._put_server_back()

    def _live(self) -> None:
        """One life of the server, to the end of the round."""
        while not self.coordinator.done:
            if not self._exchange():
                self._put_server_back()
                continue
            self.coordinator.close_phase()
            self._server_states.append(self.coordinator.save(self._key))
        if self.coordinator.result is None:
            raise LocalMisuse("the round is over and has no result")
        self.results.append(self.coordinator.result)

    def _exchange(self) -> bool:
        """One phase up to its deadline; False if the server crashed before."""
        asks = self.coordinator.asks()
        self._flying += [_Parcel(False, party, ask) for party, ask in asks.items()]
        self.traffic += asks.values()
        self._flying += self._late
        self._late = []
        if self._redelivers:
            self._flying += self._already_sent()
        for _ in range(self._patience):
            if not self._flying or self._happens(0.9 if not self.coordinator.waiting else 0.02 * self._harshness):
                break
            if self._crashes_left and self._happens(0.05):
                return False
            self._step()
        return True

    def _already_sent(self) -> list[_Parcel]:
        """The open phase's replies to the server's earlier lives, as a queue that was never emptied holds them."""
        return [
            _Parcel(True, party, reply)
            for (phase, party), replies in self.replies.items()
            for reply in replies
            if phase == self.coordinator.phase
        ]

    def _step(self) -> None:
        self.steps += 1
        parcel = self._flying.pop(self._draw.randrange(len(self._flying)))
        arriving = self._met(self._draw.choice(self.FAULTS), parcel) if self._happens(self._harshness) else [parcel]
        for arrived in arriving:
            if arrived.to_server:
                self._reach_server(arrived)
            else:
                self._reach_party(arrived)

    def _met(self, fault: str, parcel: _Parcel) -> list[_Parcel]:
        """What arrives now of a parcel that meets `fault`."""
        if fault == "delay":
            self._late.append(parcel)
        if fault in ("drop", "delay"):
            return []
        if fault == "repeat" or self._happens(0.5):  # the sound original comes too, by another way
            self._flying.append(parcel)
        if fault == "misroute":
            parcel = replace(parcel, party=self._draw.choice(self.session.parties))
        elif fault == "bounce":
            parcel = replace(parcel, to_server=not parcel.to_server)
        elif fault == "replay":
            parcel = replace(parcel, data=self._draw.choice(self.traffic + self._earlier))
        elif fault in ("truncate", "flip"):
            parcel = replace(parcel, data=self._damaged(parcel.data, fault))
        return [parcel]

    def _damaged(self, data: bytes, fault: str) -> bytes:
        header = min(frame.HEADER_SIZE, len(data) - 1)
        place = self._draw.randrange(header if self._happens(0.5) else 0, len(data))
        if fault == "truncate":
            return data[:place]
        return data[:place] + bytes([data[place] ^ (1 << self._draw.randrange(8))]) + data[place + 1 :]

    def _reach_server(self, parcel: _Parcel) -> None:
        self.coordinator.receive(parcel.party, parcel.data)
        if self._happens(0.2):
            self._server_states.append(self.coordinator.save(self._key))

    def _reach_party(self, parcel: _Parcel) -> None:
        party = parcel.party
        if self._happens(0.3 * self._harshness):
            self._restart_party(party)
        if party in self.stale:
            return
        trained: list[Update] = []

        def update() -> Update:
            trained.append(self._train(party))
            return trained[-1]

        try:
            reply = self.participants[party].answer(parcel.data, update, store=self._keep)
        except (ProtocolError, WireError) as refusal:
            self.refusals[party].append(refusal)
            return
        except LocalMisuse:  # it has left the round, after a refusal
            if not self.refusals[party]:
                raise
            return
        if reply is not None:
            self._sent(party, reply)
            if trained:
                self.submitted[party] = trained[-1]

    def _keep(self, participant: Participant) -> None:
        self._party_states[participant.me].append(participant.save(self._key))

    def _sent(self, party: PartyId, reply: bytes) -> None:
        phase = self.scheme.phases[frame.unwrap(reply).phase]
        self.replies[phase.name, party].add(reply)
        self.traffic.append(reply)
        self._flying.append(_Parcel(True, party, reply))

    def _restart_party(self, party: PartyId) -> None:
        """From its newest state, or from any: what is older than its latch must refuse to start."""
        states = self._party_states[party]
        state = self._any_of(states)
        try:
            self.participants[party] = Participant.restore(
                self.scheme, state, self._key, self._seats[party], latch=self.participants[party].step
            )
        except StateError:
            if state == states[-1]:
                raise
            self.stale.add(party)

    def _put_server_back(self) -> None:
        """The server crashes and starts from its newest state, or from any: it may then ask what it never asked."""
        self._crashes_left -= 1
        state = self._any_of(self._server_states)
        self.coordinator = Coordinator.restore(self.scheme, state, self._key, self._roster)
        self._redelivers = self._happens(0.5)

    def _any_of(self, states: Sequence[bytes]) -> bytes:
        return states[-1] if self._happens(0.6) else self._draw.choice(states)

    @property
    def _patience(self) -> int:
        return self.PATIENCE * len(self.session.parties)

    def _happens(self, odds: float) -> bool:
        return self._draw.random() < odds
