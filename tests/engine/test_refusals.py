"""A refusal is final whatever its class, in every protocol and phase; an accident of the network is no refusal.

The line: an ask whose frame is whole and names this session, scheme and party is the server's word. Whoever finds it
wrong leaves the round, before it has trained, and keeps no secret. All other bytes change nothing.
"""

import inspect
import os
from functools import cache

import msgspec
import numpy as np
import pytest
from damage import rewrapped, with_field

from secagg import Participant, Session
from secagg.engine.party import _Saved
from secagg.errors import (
    InconsistentModel,
    InputError,
    LocalMisuse,
    PeerMisbehaved,
    PolicyRefused,
    StateError,
    WireError,
)
from secagg.testing import TestRound, opened, small_keys
from secagg.wire import codec, frame
from secagg.wire.packed import pack_set
from secagg_protocols import CkksSum, PaillierKeys, PaillierSum, PairwiseMasking

BITS = 256
N = 5
UPDATES = {i: np.full(4, i / 8) for i in range(N)}
KEY = bytes(range(32))
with small_keys(BITS):
    SCHEMES = {
        "secagg": PairwiseMasking(),
        "secagg, active": PairwiseMasking(adversary="active"),
        "secagg+": PairwiseMasking(neighbours=2),
        "secagg+, active": PairwiseMasking(neighbours=2, adversary="active", corrupt=0.0),
        "paillier": PaillierSum(key_bits=BITS),
        "paillier, 2 of 3": PaillierSum(keys=PaillierKeys.generate(range(3), 2, BITS)),
        "ckks": CkksSum(),
    }
PLACES = [(name, phase.name) for name, scheme in SCHEMES.items() for phase in scheme.phases]
each_place = pytest.mark.parametrize(("name", "phase"), PLACES, ids=[f"{name}-{phase}" for name, phase in PLACES])


@pytest.fixture(autouse=True)
def keys_are_small():
    with small_keys(BITS):
        yield


class Place:
    """A round with one phase open, and the first party that is asked in it, as bytes to start from again and again.

    Attributes:
        scheme, phase, me, ask: what is asked of whom.
        drawn: what it took from its source of randomness.
    """

    def __init__(self, name, phase):
        self.scheme = SCHEMES[name]
        self.drawn = []
        round_ = TestRound(self.scheme, Session.create(range(N), UPDATES[0]), UPDATES, entropy=self._draw)
        while round_.coordinator.phase != phase:
            round_.step()
        self.phase = next(each for each in self.scheme.phases if each.name == phase)
        self.me, self.ask = next(iter(round_.coordinator.asks().items()))
        self.seat = round_.seats[self.me]
        self.state = round_.participants[self.me].save(KEY)

    def _draw(self, size):
        self.drawn.append(os.urandom(size))
        return self.drawn[-1]

    def participant(self):
        return Participant.restore(self.scheme, self.state, KEY, self.seat)

    def fields(self):
        """Names of the ask's fields of bytes."""
        message = opened(self.ask, self.phase.ask)
        return [field for field in message.__struct_fields__ if isinstance(getattr(message, field), bytes)]


@cache
def at(name, phase):
    return Place(name, phase)


def never():
    raise AssertionError("trained for an ask that is refused")


def assert_left(place, participant, stored):
    """It answers nothing more, after a restart neither, and nothing of what it knew is in its state."""
    for end in (participant, Participant.restore(place.scheme, stored[-1], KEY, place.seat)):
        assert end.left
        assert end._machine is None
        saved = codec.load(end.state(), _Saved)
        assert saved.machine is None
        assert not any(secret in end.state() for secret in place.drawn if len(secret) >= 16)
        with pytest.raises(LocalMisuse, match="has left the round"):
            end.answer(place.ask, never)
    with pytest.raises(StateError, match="known to have reached"):  # from before it refused
        Participant.restore(place.scheme, place.state, KEY, place.seat, latch=participant.step)


def refused(place, participant, ask, kinds=(WireError, PeerMisbehaved)):
    """The error with which it refuses that ask, for good."""
    stored = []
    with pytest.raises(kinds) as caught:
        participant.answer(ask, never, store=lambda me: stored.append(me.save(KEY)))
    assert_left(place, participant, stored)
    return caught.value


FINAL = {
    "no message": lambda ask: rewrapped(ask, body=b"\xc1"),
    "an empty body": lambda ask: rewrapped(ask, body=b""),
    "a byte too many": lambda ask: rewrapped(ask, body=frame.unwrap(ask).body + b"\0"),
    "a phase that there is not": lambda ask: rewrapped(ask, phase=200),
    "a later phase": lambda ask: rewrapped(ask, phase=frame.unwrap(ask).phase + 1),
}


@each_place
@pytest.mark.parametrize("kind", FINAL)
def test_a_refused_ask_is_the_last(name, phase, kind):
    place = at(name, phase)
    refused(place, place.participant(), FINAL[kind](place.ask))


@each_place
def test_every_field_of_another_size_is_refused_for_good(name, phase):
    place = at(name, phase)
    kind = place.phase.ask
    assert place.fields() or phase in ("keys", "deal")
    for field in place.fields():
        value = getattr(opened(place.ask, kind), field)
        for other in {value + b"\0", value[:-1], value + bytes(64)} - {value}:
            refused(
                place,
                place.participant(),
                with_field(place.ask, kind, field, other),
                (WireError, PeerMisbehaved, PolicyRefused, InconsistentModel),
            )


@each_place
def test_a_second_ask_is_refused_for_good(name, phase):
    """Another one in the phase that was answered last; the same one gets the same bytes, until then."""
    place = at(name, phase)
    participant = place.participant()
    reply = participant.answer(place.ask, UPDATES[place.me])
    assert participant.answer(place.ask, never) == reply
    other = rewrapped(place.ask, answers=b"another ask here")
    error = refused(place, participant, other, PeerMisbehaved)
    assert "a second, different ask" in str(error)
    assert not error.culprits


@pytest.mark.parametrize("name", SCHEMES)
def test_a_refusal_by_policy_is_final(name):
    place = at(name, SCHEMES[name].phases[-1].name)
    few = pack_set({place.me, (place.me + 1) % N}, N)
    changes = {"contributors": few}
    if name.endswith("active"):  # which has signed another set, and compares before it reads
        with pytest.raises(PeerMisbehaved):
            place.participant().answer(with_field(place.ask, place.phase.ask, "contributors", few))
        place = at(name, "consistency")
    message = msgspec.structs.replace(opened(place.ask, place.phase.ask), **changes)
    refused(place, place.participant(), rewrapped(place.ask, body=codec.encode(message)), PolicyRefused)


ACCIDENTS = {
    "a flipped bit": lambda ask: ask[:-1] + bytes([ask[-1] ^ 1]),
    "a flipped bit of the header": lambda ask: ask[:6] + bytes([ask[6] ^ 1]) + ask[7:],
    "a byte short": lambda ask: ask[:-1],
    "a byte longer": lambda ask: ask + b"\0",
    "nothing": lambda ask: b"",
    "another version": lambda ask: ask[:4] + b"\2" + ask[5:],
    "a reply": lambda ask: rewrapped(ask, direction=frame.REPLY),
    "another session": lambda ask: rewrapped(ask, tag=bytes(16)),
    "another party": lambda ask: rewrapped(ask, party=(frame.unwrap(ask).party + 1) % N),
}


@each_place
@pytest.mark.parametrize("kind", ACCIDENTS)
def test_what_no_server_sent_to_this_party_changes_nothing(name, phase, kind):
    place, stored = at(name, phase), []
    participant = place.participant()
    before = participant.state()
    with pytest.raises(WireError):
        participant.answer(ACCIDENTS[kind](place.ask), never, store=stored.append)
    assert stored == []
    assert participant.left is None
    assert participant.state() == before
    assert participant.answer(place.ask, UPDATES[place.me]) is not None


@pytest.mark.parametrize("name", SCHEMES)
def test_a_late_copy_of_an_earlier_ask_is_an_accident_too(name):
    """The network's doing: the same bytes as before, after another phase was answered. Other bytes are the server's."""
    scheme, seen = SCHEMES[name], {}

    def watch(phase, party, ask):
        seen.setdefault(party, []).append((phase, ask))
        return ask

    round_ = TestRound(scheme, Session.create(range(N), UPDATES[0]), UPDATES, asks=watch)
    round_.run()
    late = 0
    for party, asks in seen.items():
        participant = round_.participants[party]
        for phase, ask in asks[:-1]:
            with pytest.raises(WireError, match=f"late copy of the ask of phase {phase!r}"):
                participant.answer(ask, never)
            late += 1
        assert participant.answer(asks[-1][1], never) == round_.sent[asks[-1][0], party]
    assert late
    changed = rewrapped(seen[0][0][1], answers=b"another ask here")
    with pytest.raises(PeerMisbehaved):
        round_.participants[0].answer(changed, never)
    assert round_.participants[0].left


@each_place
def test_who_trains_elsewhere_can_ask_first(name, phase):
    """What is refused there is refused for good, and what is not is answered without another look."""
    place = at(name, phase)
    participant, stored = place.participant(), []
    wants = participant.wants_update(place.ask)
    assert wants == place.phase.takes_input == participant.wants_update(place.ask)
    assert participant.answer(place.ask, UPDATES[place.me] if wants else never) is not None
    assert not participant.wants_update(place.ask)
    with pytest.raises(WireError):
        place.participant().wants_update(ACCIDENTS["a byte short"](place.ask), store=stored.append)
    assert stored == []
    other = place.participant()
    with pytest.raises((WireError, PeerMisbehaved)):
        other.wants_update(FINAL["a byte too many"](place.ask), store=lambda me: stored.append(me.save(KEY)))
    assert_left(place, other, stored)


# What the user's own functions do is neither: the same ask may be tried again.


class Own(Exception):
    """A user's."""


RAISED = [Own("out of memory"), WireError("of another round"), PolicyRefused("of another round"), KeyboardInterrupt()]


def takes_input(name):
    return at(name, next(phase.name for phase in SCHEMES[name].phases if phase.takes_input))


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_what_training_raises_reaches_the_caller_as_it_is(name, error):
    place, stored = takes_input(name), []
    participant = place.participant()
    before = participant._machine.save(), participant.step

    def train():
        raise error

    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            participant.answer(place.ask, train, store=stored.append)
        assert caught.value is error
        assert caught.traceback[-1].name == "train"
    assert stored == []
    assert participant.left is None
    assert (participant._machine.save(), participant.step) == before
    assert participant.answer(place.ask, lambda: UPDATES[place.me]) is not None


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("update", [never, np.full(4, np.nan)], ids=["training", "update"])
def test_no_other_ask_is_taken_once_an_update_has_failed(name, update):
    """A server that knew of it could ask otherwise, and have this party train for each."""
    place = takes_input(name)
    participant = place.participant()
    with pytest.raises((AssertionError, InputError)):
        participant.answer(place.ask, update)
    refused(place, participant, rewrapped(place.ask, answers=b"another ask here"), PeerMisbehaved)


@pytest.mark.parametrize("name", SCHEMES)
def test_nor_after_a_restart_once_a_party_has_said_that_it_will_train(name):
    place, kept = takes_input(name), []
    participant = place.participant()
    assert participant.wants_update(place.ask, store=lambda party: kept.append(party.save(KEY)))
    again = Participant.restore(place.scheme, kept[-1], KEY, place.seat)
    with pytest.raises(PeerMisbehaved, match="a second, different ask"):
        again.answer(rewrapped(place.ask, answers=b"another ask here"), never)
    again = Participant.restore(place.scheme, kept[-1], KEY, place.seat)
    assert again.answer(place.ask, UPDATES[place.me]) is not None


@pytest.mark.parametrize("name", SCHEMES)
def test_no_frame_of_the_machine_is_beneath_the_users_function(name):
    """Its local variables are secrets, and whoever reports an error from training may send the whole stack."""
    seen = []

    def train():
        seen.extend(each.filename for each in inspect.stack())
        return UPDATES[place.me]

    place = takes_input(name)
    place.participant().answer(place.ask, train)
    assert not [path for path in seen if "secagg_protocols" in path or path.endswith("machine.py")]
