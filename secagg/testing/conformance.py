"""The exam of a scheme, ours or a stranger's: subclass it in a test file and say how to make one.

class TestMine(SchemeConformance):
    def make(self, n: int) -> Scheme:
        return MyScheme(...)
"""

import os
import tracemalloc
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from secagg.api import Aggregate, Coordinator, Participant, aggregate
from secagg.errors import (
    ConfigError,
    LocalMisuse,
    PartyId,
    PeerMisbehaved,
    PolicyRefused,
    ProtocolError,
    SecaggError,
    StateError,
    TooFew,
    WireError,
)
from secagg.scheme import Policy, Scheme, Seat, Session, Store
from secagg.testing.faults import sampled_losses
from secagg.testing.round import TestRound, opened, rewritten
from secagg.wire import frame
from secagg.wire.codec import Message

Vectors = dict[PartyId, NDArray[np.uint16]]

BOOKKEEPING = 4096
"""Bytes that a server may need for one client, its vector aside: its place, its digest, room for what it sends next."""
VECTORS = 12
"""As many vectors, as they travel, a server may need room for."""


class SchemeConformance(ABC):
    """What every scheme promises: the sum over the contributors is exact, or the round ends in a named error.

    Attributes:
        n: parties of a round.
        dim: entries of an update.
        bits: of an entry; updates are integers, so that nothing is rounded.
        patterns: loss patterns that are tried.
        long: entries of an update where memory is measured.
    """

    n = 6
    dim = 19
    bits = 16
    patterns = 60
    long = 20_000

    @abstractmethod
    def make(self, n: int) -> Scheme:
        """The scheme under test for n parties."""

    def parties(self, n: int | None = None) -> list[PartyId]:
        """Ids of both kinds."""
        return [f"party {i}" if i % 2 else i for i in range(self.n if n is None else n)]

    def updates(self, seed: int = 0) -> Vectors:
        """Random integers over the whole range."""
        draw = np.random.default_rng(seed)
        return {party: draw.integers(0, 2**self.bits, self.dim, np.uint16) for party in self.parties()}

    def round(self, updates: Mapping[PartyId, Any] | None = None, **options: Any) -> TestRound:
        """A round that has not begun."""
        updates = self.updates() if updates is None else updates
        run = bytes(range(16)) if options.get("prepared") else b""
        session = Session.create(list(updates), next(iter(updates.values())), bits=self.bits, run=run)
        return TestRound(self.make(len(updates)), session, updates, **options)

    def check(self, out: Aggregate, updates: Mapping[PartyId, Any]) -> None:
        """The law: exact over the contributors."""
        expected = sum(updates[party].astype(np.uint64) for party in out.contributors)
        np.testing.assert_array_equal(out.ring_sum.astype(np.uint64), expected)
        np.testing.assert_array_equal(np.asarray(out.sum, np.uint64), expected)

    def phases(self) -> list[str]:
        """Names of the phases that every client is asked in and answers."""
        return [phase.name for phase in self.make(self.n).phases if phase.role == "client" and phase.reply is not None]

    def test_all_present(self) -> None:
        """Nobody is lost: everybody is in the sum."""
        updates = self.updates()
        out = self.round(updates).run()
        assert out.contributors == frozenset(updates)
        assert not out.lost
        assert not out.misbehaved
        self.check(out, updates)

    @pytest.mark.parametrize("value", ["zeros", "ones", "largest"])
    def test_extreme_updates(self, value: str) -> None:
        """The edges of the range neither wrap nor round."""
        fill = {"zeros": 0, "ones": 1, "largest": 2**self.bits - 1}[value]
        updates = {party: np.full(self.dim, fill, np.uint16) for party in self.parties()}
        self.check(self.round(updates).run(), updates)

    def test_losses_end_exact_or_too_few(self) -> None:
        """Whoever goes silent, whenever: exact over the contributors, or TooFew."""
        updates = self.updates()
        names = [phase.name for phase in self.make(self.n).phases]
        survived = 0
        for lost in sampled_losses(self.parties(), self.phases(), self.patterns, seed=1):
            try:
                out = aggregate(updates, self.make(self.n), bits=self.bits, lost=lost)
            except TooFew as error:
                assert error.phase in names, lost
                assert error.answered < error.needed, lost
            else:
                survived += 1
                assert out.lost == lost, lost
                self.check(out, updates)
        assert 0 < survived < self.patterns

    def test_restored_at_every_boundary(self) -> None:
        """Both ends may be saved and restored between any two calls."""
        updates = self.updates()
        lost: dict[PartyId, str] = {self.parties()[1]: self.phases()[-1]}
        out = self.round(updates, restart=True, lost=lost).run()
        assert out.lost == lost
        self.check(out, updates)

    def test_garbage_costs_its_sender_alone(self) -> None:
        """One party sends garbage at one phase: it is lost and named, the others finish."""
        updates = self.updates()
        culprit = self.parties()[2]
        for wanted in self.phases():
            out = self.round(
                updates,
                replies=lambda phase, party, message, wanted=wanted: (
                    b"garbage" if (phase, party) == (wanted, culprit) else message
                ),
            ).run()
            assert set(out.misbehaved) == {culprit}, wanted
            assert out.lost == {culprit: wanted}
            self.check(out, updates)

    def test_damaged_replies_never_give_another_sum(self) -> None:
        """Truncated or flipped replies: exact, or a named error."""
        updates = self.updates()
        for wanted in self.phases():
            for damage in _damages():
                out = self._damaged_round(updates, wanted, damage)
                if out is not None:
                    self.check(out, updates)

    def test_replies_twice_and_in_any_order(self) -> None:
        """Repeated replies change nothing."""
        updates = self.updates()
        round_ = self.round(updates)
        while not round_.coordinator.done:
            phase = round_.coordinator.phase or ""
            round_.exchange()
            for party in reversed(list(updates)):
                if (phase, party) in round_.sent:
                    round_.coordinator.receive(party, round_.sent[phase, party])
            round_.coordinator.close_phase()
        out = round_.coordinator.result
        assert out is not None
        assert not out.misbehaved
        self.check(out, updates)

    def test_the_same_ask_gets_the_same_reply(self) -> None:
        """A party that is asked again answers with the same bytes."""
        updates = self.updates()
        round_ = self.round(updates)
        while not round_.coordinator.done:
            phase, asks = round_.coordinator.phase or "", round_.coordinator.asks()
            round_.exchange()
            for party, ask in asks.items():
                again = round_.participants[party].answer(ask, updates[party])
                assert again == round_.sent.get((phase, party))
            round_.coordinator.close_phase()
        assert round_.coordinator.result is not None

    def test_who_refuses_an_ask_has_not_trained_and_answers_no_other(self) -> None:
        """At every phase: no message, or any field longer than it is."""
        key, update = bytes(32), next(iter(self.updates().values()))
        for wanted in self.phases():
            round_ = self.round()
            while round_.coordinator.phase != wanted:
                round_.step()
            party, ask = next(iter(round_.coordinator.asks().items()))
            state = round_.participants[party].save(key)
            kind = next(phase.ask for phase in round_.scheme.phases if phase.name == wanted)
            for changed in _changed(ask, kind):
                training = _Training(update)
                participant = Participant.restore(round_.scheme, state, key, round_.seats[party])
                try:
                    participant.answer(changed, training)
                except (ProtocolError, WireError):
                    assert participant.left
                    assert not training.times, f"trained for an ask of phase {wanted!r} that was refused"
                    with pytest.raises(LocalMisuse, match="left the round"):
                        participant.answer(ask, update)

    def test_no_sum_is_opened_under_the_policy_s_cohort(self) -> None:
        """One party goes silent, and the others' policy asks for all: the server asks nobody, or all refuse."""
        names = [phase.name for phase in self.make(self.n).phases]
        takes_input = next(phase.name for phase in self.make(self.n).phases if phase.takes_input)
        asked = set()

        def watch(phase: str, party: PartyId, ask: bytes) -> bytes:
            if names.index(phase) > names.index(takes_input):
                asked.add(party)
            return ask

        round_ = self.round(policy=Policy(min_cohort=self.n), lost={self.parties()[-1]: takes_input}, asks=watch)
        with pytest.raises(SecaggError) as error:
            round_.run()
        assert round_.coordinator.result is None
        assert asked or (isinstance(error.value, TooFew) and error.value.phase == takes_input)
        assert set(round_.refusals) == asked
        assert all(isinstance(error, PolicyRefused) for error in round_.refusals.values())

    def test_no_sum_of_two_holds_a_party_that_asks_for_more(self) -> None:
        """Whoever the other one is, and whatever its own policy allows."""
        takes_input = next(phase.name for phase in self.make(self.n).phases if phase.takes_input)
        *others, cautious = self.parties()
        for other in others[:5]:
            lost: dict[PartyId, str] = {party: takes_input for party in others if party != other}
            round_ = self._with_one_of(cautious, Policy(min_cohort=3), lost)
            with pytest.raises(SecaggError):
                round_.run()
            assert round_.coordinator.result is None, other

    def test_it_is_plain_who_asked_for_more(self) -> None:
        """One party goes silent and another asks for all: it refuses, or the round ends and names it."""
        updates = self.updates()
        takes_input = next(phase.name for phase in self.make(self.n).phases if phase.takes_input)
        cautious, *_, silent = self.parties()
        round_ = self._with_one_of(cautious, Policy(min_cohort=self.n), {silent: takes_input})
        named: Set[PartyId] = frozenset()
        try:
            self.check(round_.run(), updates)
        except TooFew as error:
            named = error.culprits
        assert (named | set(round_.refusals)) == {cautious}

    def test_the_server_folds_vectors_in_as_they_come(self) -> None:
        """Four times the clients take it no more memory than their names do, and no larger state."""
        self._memory_at(self.n)  # compiles what is compiled once
        few, many = self._memory_at(self.n), self._memory_at(4 * self.n)
        names = 3 * self.n * BOOKKEEPING
        assert many.peak - few.peak < 2 * many.reply + names
        assert many.peak < VECTORS * many.reply + 4 * self.n * BOOKKEEPING
        assert many.state - few.state < many.reply + names

    def test_a_party_s_own_word_decides_what_it_adds_to(self) -> None:
        """One party received another model: it is in no sum, whatever the server says that the round is about."""
        updates, odd = self.updates(), self.parties()[1]
        round_ = self.round(updates)
        for party, seat in round_.seats.items():
            own = b"another model" if party == odd else round_.session.context
            self._reseat(round_, replace(seat, context=own))
        try:
            out = round_.run()
        except SecaggError:
            assert round_.coordinator.result is None
        else:
            assert odd not in out.contributors
            self.check(out, updates)

    @pytest.mark.parametrize("change", ["a party less", "another encoding"])
    def test_a_party_s_own_ledger_decides_what_it_opens(self, change: str) -> None:
        """A second sum of the same updates is opened by nobody who helped with the first; the same sum is, again."""
        stores: dict[PartyId, Store] = {party: Store() for party in self.parties()}
        lost, bits = {}, self.bits
        self._kept_round(stores, self.bits, {}).run()
        self._kept_round(stores, self.bits, {}).run()
        if change == "another encoding":
            bits = self.bits + 1
        else:
            lost = {self.parties()[-1]: next(phase.name for phase in self.make(self.n).phases if phase.takes_input)}
        round_ = self._kept_round(stores, bits, lost)
        with pytest.raises(SecaggError):
            round_.run()
        assert round_.coordinator.result is None
        assert any(isinstance(error, PolicyRefused) for error in round_.refusals.values())

    def test_no_secret_shows(self) -> None:
        """Nothing that a party drew stands in the text of any object of its end, of the server's, or in a refusal."""
        drawn: list[bytes] = []

        def entropy(size: int) -> bytes:
            drawn.append(os.urandom(size))
            return drawn[-1]

        round_ = self.round(entropy=entropy)
        while not round_.coordinator.done:
            round_.exchange()
            text = "".join(_texts(round_))
            for secret in drawn:
                assert secret.hex() not in text
                assert len(secret) < 16 or repr(secret)[2:-1] not in text
            round_.coordinator.close_phase()

    def test_saved_state_is_one_party_s_of_one_scheme(self) -> None:
        """Nobody goes on from another's state, or under other options; who has left the round left nothing in it."""
        round_ = self.round()
        round_.exchange()
        key, (one, other, *_) = bytes(32), self.parties()
        saved = round_.participants[one].save(key)
        with pytest.raises(StateError, match="state of party"):
            Participant.restore(round_.scheme, saved, key, round_.seats[other])
        with pytest.raises(StateError):
            Participant.restore(round_.scheme, round_.coordinator.save(key), key, round_.seats[one])
        with pytest.raises(StateError):
            type(round_.coordinator).restore(round_.scheme, saved, key, round_.roster)

    @pytest.mark.parametrize("share", ["half", "nothing"])
    def test_two_servers_of_one_round_merge(self, share: str) -> None:
        """Each phase's replies, heard by two servers or by the other alone, are one round; a party that both have
        heard is refused.
        """
        updates, key = self.updates(), bytes(32)
        round_ = self.round(updates)
        scheme, roster = round_.scheme, round_.roster
        while not round_.coordinator.done:
            round_.coordinator.asks()
            state = round_.coordinator.save(key)
            servers = [Coordinator.restore(scheme, state, key, roster) for _ in range(3)]
            phase, heard = round_.coordinator.phase or "", 0
            for party, ask in round_.coordinator.asks().items():
                reply = round_.answer(phase, party, ask)
                if reply is not None:
                    servers[heard % 2 if share == "half" else 1].receive(party, reply)
                    servers[2].receive(party, reply)
                    heard += 1
            if heard:
                with pytest.raises(LocalMisuse, match="both heard"):
                    servers[2].merge(servers[0 if share == "half" else 1])
            servers[0].merge(servers[1])
            assert servers[0].waiting == servers[2].waiting
            servers[0].close_phase()
            round_.coordinator = servers[0]
        out = round_.run()
        assert out.contributors == frozenset(updates)
        assert not out.misbehaved
        self.check(out, updates)

    def test_servers_of_other_rounds_do_not_merge(self) -> None:
        """Another session, or another phase."""
        one, other = self.round(), self.round()
        for each in (one, other):
            each.coordinator.asks()
        with pytest.raises(LocalMisuse, match="another round"):
            one.coordinator.merge(other.coordinator)

    def test_capacity_covers_the_cohort(self) -> None:
        """The ring holds the sum of all parties."""
        session = self.round().session
        assert self.make(self.n).capacity(session) >= self.n

    def test_equal_options_have_equal_fingerprints(self) -> None:
        """Two ends made alike understand each other."""
        assert self.make(self.n).fingerprint == self.make(self.n).fingerprint

    @pytest.mark.parametrize("share", [0.5, 1.0])
    def test_prepared_before_the_session(self, share: float) -> None:
        """Who answered the first phase before the session is not asked in it, and all goes on as ever."""
        updates = self.updates()
        ahead = self.parties()[: int(share * self.n)]
        if not self.make(self.n).prepares:
            with pytest.raises(ConfigError):
                self.round(updates, prepared=ahead)
            return
        late = self.parties()[-1]
        for lost in ({}, {late: self.phases()[0]}, {ahead[0]: self.phases()[1]}, {late: self.phases()[-1]}):
            for restart in (False, True):
                round_ = self.round(updates, prepared=ahead, restart=restart, lost=lost)
                arrived = {party for party in ahead if lost.get(party) != self.phases()[0]}
                asked, phase = set(round_.coordinator.asks()), round_.coordinator.phase
                # A phase that asks nobody costs no trip.
                waited = set(updates) - arrived
                assert (asked, phase) == ((waited, self.phases()[0]) if waited else (arrived, self.phases()[1]))
                out = round_.run()
                assert out.lost == lost
                assert not out.misbehaved
                self.check(out, updates)

    def test_garbage_in_place_of_what_was_prepared(self) -> None:
        """It costs its sender alone."""
        if not self.make(self.n).prepares:
            return
        updates, culprit, first = self.updates(), self.parties()[2], self.phases()[0]
        for damage in (lambda _: b"garbage", *_damages()):
            out = self.round(
                updates,
                prepared=self.parties(),
                replies=lambda phase, party, message, damage=damage: (
                    damage(message) if (phase, party) == (first, culprit) else message
                ),
            ).run()
            assert set(out.misbehaved) == {culprit}
            assert out.lost == {culprit: first}
            self.check(out, updates)

    def _memory_at(self, n: int) -> "_Memory":
        """Of the server, while the vectors of n clients arrive and their phase closes."""
        updates: Vectors = dict.fromkeys(self.parties(n), np.zeros(self.long, np.uint16))
        takes_input = next(phase.name for phase in self.make(n).phases if phase.takes_input)
        held: list[tuple[PartyId, bytes]] = []

        def hold_back(phase: str, party: PartyId, message: bytes) -> bytes | None:
            if phase != takes_input:
                return message
            held.append((party, message))
            return None

        round_ = self.round(updates, replies=hold_back)
        while round_.coordinator.phase != takes_input:
            round_.step()
        round_.exchange()
        assert len(held) == n
        tracemalloc.start()
        try:
            for party, reply in held:
                round_.coordinator.receive(party, reply)
            round_.coordinator.close_phase()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        state = len(round_.coordinator.save(bytes(32)))
        assert round_.run().contributors == frozenset(updates)
        return _Memory(peak, state, len(held[0][1]))

    def _kept_round(self, stores: Mapping[PartyId, Store], bits: int, lost: Mapping[PartyId, str]) -> TestRound:
        """A round on the same model, in which every party keeps a store."""
        updates = self.updates()
        like = next(iter(updates.values()))
        # Of one id, so that who holds a key by the session's choice is the same in each.
        session = Session.create(list(updates), like, bits=bits, context=b"model 7", entropy=bytes)
        round_ = TestRound(self.make(len(updates)), session, updates, lost=lost)
        for party, seat in round_.seats.items():
            self._reseat(round_, replace(seat, context=session.context, store=stores[party]))
        return round_

    @staticmethod
    def _reseat(round_: TestRound, seat: Seat) -> None:
        round_.participants[seat.party] = Participant(round_.scheme, round_.session, seat)

    def _with_one_of(self, party: PartyId, policy: Policy, lost: Mapping[PartyId, str]) -> TestRound:
        """A round in which one party has a policy of its own, and the others allow sums of two."""
        round_ = self.round(policy=Policy(min_cohort=2), lost=lost)
        self._reseat(round_, replace(round_.seats[party], policy=policy))
        return round_

    def _damaged_round(self, updates: Vectors, wanted: str, damage: "_Damage") -> Aggregate | None:
        culprit = self.parties()[0]

        def replies(phase: str, party: PartyId, message: bytes) -> bytes:
            return damage(message) if (phase, party) == (wanted, culprit) else message

        try:
            return self.round(updates, replies=replies).run()
        except (TooFew, PeerMisbehaved):
            return None
        except ConfigError as error:  # pragma: no cover
            pytest.fail(f"a peer's message is no configuration: {error}")


@dataclass(frozen=True)
class _Memory:
    """Bytes that Python and NumPy allocated at most, of the saved state afterwards, and of one client's vector."""

    peak: int
    state: int
    reply: int


def _texts(round_: TestRound) -> Iterator[str]:
    """What shows of both ends in a debugger, a log or an error report."""
    for participant in round_.participants.values():
        yield from map(repr, (participant, participant.seat, participant._machine, vars(participant)))
        if participant._machine is not None:
            yield from (repr(value) for value in vars(participant._machine).values())
    yield from map(repr, (round_.coordinator, round_.coordinator._stage, round_.coordinator._round))
    yield from map(str, round_.refusals.values())


class _Training:
    """Gives the update, and knows how often."""

    def __init__(self, update: NDArray[np.uint16]) -> None:
        self.times = 0
        self._update = update

    def __call__(self) -> NDArray[np.uint16]:
        self.times += 1
        return self._update


def _changed(ask: bytes, kind: type[Message]) -> Iterator[bytes]:
    """Asks in a whole frame that are none."""
    message, found = opened(ask, kind), frame.unwrap(ask)
    yield frame.wrap(found.direction, found.phase, found.party, found.tag, found.answers, b"\xc1")
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if isinstance(value, bytes):
            yield rewritten(ask, kind, **{name: value + b"\0"})


class _Damage:
    """One way to damage a message."""

    def __init__(self, at: float, flip: int) -> None:
        self._at, self._flip = at, flip

    def __call__(self, message: bytes) -> bytes:
        place = min(int(self._at * len(message)), len(message) - 1)
        if self._flip == 0:
            return message[:place]
        return message[:place] + bytes([message[place] ^ self._flip]) + message[place + 1 :]


def _damages() -> Iterator[_Damage]:
    for at in (0.0, 0.3, 0.7, 1.0):
        for flip in (0, 1, 128):
            yield _Damage(at, flip)
