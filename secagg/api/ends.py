"""The two ends of a round for other systems: bytes in, bytes out, one object each."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from time import perf_counter
from typing import NoReturn, Self

from secagg.api.prepared import Prepared
from secagg.api.result import Aggregate, PhaseRole
from secagg.encoding.layout import Update
from secagg.encoding.ring import Lanes
from secagg.engine import RoundParty, RoundServer
from secagg.errors import ConfigError, InputError, LocalMisuse, PartyId, SecaggError
from secagg.primitives import sealing
from secagg.scheme import Policy, Roster, Scheme, Seat, Session, Sum

_SERVER_STATE = b"secagg/state/server/1"
_PARTY_STATE = b"secagg/state/party/1"


class Coordinator:
    """The server's end of one round.

    Loop: send `asks()`, hand what comes back to `receive`, and call `close_phase()` when all have answered or the
    deadline has passed, until `done`. Not thread-safe.

    Args:
        scheme, session: the round.
        roster: the parties' identities, where the scheme is `authenticated`.
        prepared: {party: `Prepared.message`} of those who answered the first phase before the session existed; they
            are not asked in it. What was prepared for another round is left aside and its party asked, and so are
            parties of other sessions; what is no message, or another's, costs its sender its place.

    Raises ConfigError, where the scheme's options do not fit the session.
    """

    def __init__(
        self,
        scheme: Scheme,
        session: Session,
        roster: Roster | None = None,
        prepared: Mapping[PartyId, bytes] | None = None,
    ) -> None:
        self._round = RoundServer(scheme, session, roster, prepared)
        self._seconds: defaultdict[PhaseRole, float] = defaultdict(float)
        self._result: Aggregate | None = None

    @property
    def session(self) -> Session:
        """The session, as every participant must have it."""
        return self._round.session

    @property
    def phase(self) -> str | None:
        """Name of the open phase, None after the last."""
        phase = self._round.phase
        return None if phase is None else phase.name

    @property
    def done(self) -> bool:
        """Whether the last phase has closed."""
        return self._round.phase is None

    @property
    def waiting(self) -> frozenset[PartyId]:
        """Who was asked in this phase and is still to answer; empty means that `close_phase` loses nobody."""
        return self._round.waiting

    @property
    def lost(self) -> dict[PartyId, str]:
        """{party: phase} of those lost so far."""
        return dict(self._round.lost)

    @property
    def misbehaved(self) -> dict[PartyId, str]:
        """{party: why} of those whose message broke the protocol."""
        return dict(self._round.misbehaved)

    @property
    def accused(self) -> dict[PartyId, str]:
        """{party: why} of those of whom others say so, who may lie; they stay in the round."""
        return dict(self._round.accused)

    def asks(self) -> Mapping[PartyId, bytes]:
        """{party: bytes to send it} of the open phase; empty after the last one. Bytes are made when looked up."""
        with self._timed():
            return self._round.asks()

    def receive(self, party: PartyId, data: bytes) -> None:
        """One reply, from the party that the transport says it is. Never raises for what the bytes hold."""
        with self._timed():
            self._round.receive(party, data)

    def close_phase(self) -> None:
        """End the open phase: whoever is in `waiting` is lost. Raises TooFew under the threshold."""
        with self._timed():
            self._round.close_phase()

    @property
    def result(self) -> Aggregate | None:
        """The aggregate, once `done`. Raises PeerMisbehaved where the summed weights are impossible."""
        if self._result is None and self.done and self._round.result is not None:
            self._result = Aggregate.of(
                self.session,
                self._round.result,
                self._round.lost,
                self._round.misbehaved,
                self._round.accused,
                self._traffic(),
                dict(self._seconds),
            )
        return self._result

    def save(self, key: bytes) -> bytes:
        """All state at any point between two calls, encrypted and authenticated under `key`, 32 bytes."""
        return sealing.lock(key, self._round.save(), _SERVER_STATE, os.urandom)

    @classmethod
    def restore(cls, scheme: Scheme, data: bytes, key: bytes, roster: Roster | None = None) -> Self:
        """The coordinator that `save` wrote. Raises StateError for anything else, or another scheme's."""
        restored = cls.__new__(cls)
        try:
            restored._round = RoundServer.restore(scheme, sealing.unlock(key, data, _SERVER_STATE), roster)
        except SecaggError as error:
            raise error.with_traceback(None) from None  # likewise shares of secrets, in the last phase
        restored._seconds = defaultdict(float)
        restored._result = None
        return restored

    @contextmanager
    def _timed(self) -> Iterator[None]:
        phase, start = self.phase, perf_counter()
        try:
            yield
        finally:
            if phase is not None:
                self._seconds[phase, "server"] += perf_counter() - start

    def _traffic(self) -> dict[PhaseRole, float]:
        traffic: dict[PhaseRole, float] = {}
        for phase, tally in zip(self._round.scheme.phases, self._round.tallies, strict=True):
            traffic[phase.name, "server"] = tally.sent
            traffic[phase.name, "client"] = median(tally.received.values()) if tally.received else 0
        return traffic


class Participant:
    """One party's end of one round.

    Args:
        scheme, session: as the coordinator has them; `Session.from_bytes` reads what it sent.
        seat: this party's `Seat`; or its id alone, for one that brings nothing but a policy.
        policy: what this party takes part in, whatever the server says; with an id alone.
        prepared: what this party prepared for this round; it is used up.

    Raises PolicyRefused, UnknownParty or ConfigError; LocalMisuse for what was used before.
    """

    def __init__(
        self,
        scheme: Scheme,
        session: Session,
        seat: Seat | PartyId,
        policy: Policy | None = None,
        prepared: Prepared | None = None,
    ) -> None:
        seat = _seated(seat, policy)
        state = None if prepared is None else prepared.secrets(scheme, session, seat)
        self._round = RoundParty(scheme, session, seat, state, prepared=prepared is not None)
        if prepared is not None:
            prepared.erase()

    def __reduce__(self) -> NoReturn:
        """What `copy` and `pickle` call. Two of one party would answer one ask with two vectors under one mask."""
        raise LocalMisuse(f"party {self.me!r} answers each ask once, so there are no copies; save(key) keeps it")

    @property
    def me(self) -> PartyId:
        """This party's id."""
        return self._round.me

    @property
    def seat(self) -> Seat:
        """What this party brings; its context is the session's where it has none of its own."""
        return self._round.seat

    @property
    def session(self) -> Session:
        """The session this party takes part in."""
        return self._round.session

    @property
    def result(self) -> Sum | None:
        """What this party learns, in protocols where parties learn something."""
        return self._round.result

    @property
    def step(self) -> int:
        """Asks answered so far. It only grows: kept outside the state, it is the latch for `restore`."""
        return self._round.step

    def answer(
        self,
        ask: bytes,
        update: Update | Callable[[], Update] = None,
        weight: int = 1,
        store: Callable[["Participant"], object] | None = None,
    ) -> bytes | None:
        """The reply to one ask; None to an announcement.

        Args:
            ask: bytes from the coordinator.
            update: arrays in the session's structure, or a callable that returns them (training, say); used only in
                the phase that takes input, and called once the ask is known to be in order.
            weight: integer 1..weight_max, where the session has weights.
            store: called with this participant before the reply is returned, so that `save` can put it on disk; a
                participant that is restored answers the same ask with the same bytes. Also after a refusal, which
                is final.

        Raises:
            InputError: the update or weight cannot be summed; names this party and the position.
            PeerMisbehaved, PolicyRefused: the server asks what it must not; nothing was revealed.
            WireError: the bytes are no ask of this session.
        """
        return self._round.answer(
            ask, lambda: self._encoded(update, weight), lambda: None if store is None else store(self)
        )

    def save(self, key: bytes) -> bytes:
        """All state between two asks, encrypted and authenticated under `key`, 32 bytes."""
        return sealing.lock(key, self._round.save(), _PARTY_STATE, os.urandom)

    @classmethod
    def restore(cls, scheme: Scheme, data: bytes, key: bytes, seat: Seat | PartyId, latch: int = 0) -> Self:
        """The participant that `save` wrote.

        `seat` is the party's again: its store and credentials are not part of the state; policy and context are, so
        that it cannot come back with a laxer policy. `latch` is the largest `step` this party is known to have
        reached, for callers who keep it apart from the state themselves; a `Journal` checks its own. Raises StateError
        for another scheme's or party's state, or one older than the latch: answering again with another update would
        give away the difference of the two.
        """
        restored = cls.__new__(cls)
        try:
            restored._round = RoundParty.restore(scheme, sealing.unlock(key, data, _PARTY_STATE), Seat.of(seat), latch)
        except SecaggError as error:
            # The frames below have decrypted state among their local variables, and error reporters send those.
            raise error.with_traceback(None) from None
        return restored

    def _encoded(self, update: Update | Callable[[], Update], weight: int) -> Lanes:
        try:
            return self.session.encoding.encode(
                update() if callable(update) else update, weight, self._round.seat.entropy
            )
        except InputError as error:
            raise error.of(self.me) from None


def _seated(seat: Seat | PartyId, policy: Policy | None) -> Seat:
    if policy is None:
        return Seat.of(seat)
    if isinstance(seat, Seat):
        raise ConfigError("policy beside a seat, which has its own: give Seat(..., policy=...)")
    return Seat(seat, policy)
