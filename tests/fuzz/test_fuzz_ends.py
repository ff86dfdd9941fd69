"""Whatever a sound frame holds, the server never raises, and a party raises only what `Participant.answer` states.

Saved state that was altered under its seal raises StateError.
"""

import random
from contextlib import suppress

import pytest
from decoders import ABLE, KEY, NUMBER, PARTIES, PREPARED, RECORDED, RUN, UPDATES
from hypothesis import given, settings
from hypothesis import strategies as st
from mutation import damaged, revalued

from secagg import Coordinator, Participant, Session
from secagg.errors import ProtocolError, SecaggError, StateError, WireError
from secagg.scheme import Seat
from secagg.testing import SeededEntropy
from secagg.wire import frame

PHASES = [(name, phase.name) for name, recorded in RECORDED.items() for phase in recorded.scheme.phases]
each_phase = pytest.mark.parametrize(("name", "phase"), PHASES)
seeds = st.integers(0, 2**64 - 1)


class Paused:
    """A round that stands before the replies of one phase, as bytes to start from again and again."""

    def __init__(self, name: str, phase: str) -> None:
        self.recorded = RECORDED[name]
        self.asks, self.replies = self.recorded.asks[phase], self.recorded.replies[phase]
        self.place = [each.name for each in self.recorded.scheme.phases].index(phase)

    def server(self):
        return self.recorded.restore_server(self.recorded.server_states[2 * self.place])

    def participant(self):
        """The first party."""
        one = self.recorded
        seat = Seat(PARTIES[0], entropy=SeededEntropy(2), credentials=one.credentials.get(PARTIES[0]))
        return Participant.restore(one.scheme, one.sealed_states[self.place], KEY, seat)


PAUSED = {(name, phase): Paused(name, phase) for name, phase in PHASES}


def with_another_body(message, others, seed):
    """The frame around damaged or revalued contents, with the checksum that belongs to it."""
    draw, found = random.Random(seed), frame.unwrap(message)
    bodies = [frame.unwrap(other).body for other in others]
    body = damaged(found.body, bodies, draw) if draw.random() < 0.5 else revalued(found.body, draw)
    return frame.wrap(found.direction, found.phase, found.party, found.tag, found.answers, body)


@each_phase
@settings(max_examples=25)
@given(seed=seeds)
def test_the_server_never_raises(name, phase, seed):
    paused = PAUSED[name, phase]
    server = paused.server()
    reply = paused.replies[0]
    index = frame.unwrap(reply).party
    party = server.session.parties[index]
    changed = with_another_body(reply, paused.replies, seed)
    server.receive(party, changed)
    assert (party in server.misbehaved) != (index in server._round.tallies[paused.place].received)
    assert server.phase == phase


@each_phase
@settings(max_examples=25)
@given(seed=seeds)
def test_a_party_refuses_or_answers(name, phase, seed):
    paused = PAUSED[name, phase]
    participant = paused.participant()
    before = participant.step
    try:
        reply = participant.answer(with_another_body(paused.asks[0], paused.asks, seed), UPDATES[PARTIES[0]])
    except (ProtocolError, WireError):
        assert participant.left
        assert participant.step == before + 1
    else:
        assert frame.unwrap(reply).direction == frame.REPLY
        assert participant.step == before + 1


@settings(max_examples=200)
@given(seed=seeds)
def test_sealed_state_that_was_altered(seed):
    draw = random.Random(seed)
    recorded = RECORDED[draw.choice(sorted(RECORDED))]
    ends = (
        (recorded.round.coordinator.save(KEY), lambda data: Coordinator.restore(recorded.scheme, data, KEY)),
        (
            recorded.round.participants["one"].save(KEY),
            lambda data: Participant.restore(recorded.scheme, data, KEY, "one"),
        ),
    )
    state, restore = draw.choice(ends)
    altered = damaged(state, [state], draw)
    if altered != state:
        with pytest.raises(StateError):
            restore(altered)


def go_on_as_server(recorded, phase, data):
    """The rest of that phase, from what stands there."""
    server = recorded.restore_server(data)
    dict(server.asks())
    for reply in recorded.replies[phase]:
        found = frame.unwrap(reply)
        if found.direction == frame.REPLY:
            server.receive(server.session.parties[found.party], reply)
    server.state()
    server.close_phase()
    dict(server.asks())
    server.state()


def go_on_as_party(recorded, phase, data):
    participant = recorded.restore_party(data)
    participant.state()
    with suppress(ProtocolError, WireError):
        participant.answer(recorded.asks[phase][0], UPDATES[PARTIES[0]])
    participant.state()


@pytest.mark.parametrize("end", [go_on_as_server, go_on_as_party], ids=["server", "party"])
@settings(max_examples=150)
@given(seed=seeds)
def test_state_that_somebody_with_the_key_wrote(end, seed):
    """Refused, or gone on from; no other error than ours, whatever it says."""
    draw = random.Random(seed)
    name, phase = draw.choice(PHASES)
    recorded, place = RECORDED[name], PAUSED[name, phase].place
    states = recorded.party_states[place : place + 1]
    if end is go_on_as_server:
        states = recorded.server_states[2 * place : 2 * place + 2]
    with suppress(SecaggError):
        end(recorded, phase, revalued(draw.choice(states), draw))


@pytest.mark.parametrize("name", ABLE)
@settings(max_examples=40)
@given(seed=seeds)
def test_what_was_prepared_never_raises(name, seed):
    """Damaged inside a sound frame: its sender is named, or asked as if there had been nothing."""
    recorded = RECORDED[name]
    session = Session.create(PARTIES, UPDATES[0], run=RUN, round=NUMBER, entropy=SeededEntropy(5))
    message = with_another_body(PREPARED[ABLE.index(name)], PREPARED, seed)
    server = Coordinator(recorded.scheme, session, recorded.round.roster, {"four": message})
    named, asked = "four" in server.misbehaved, "four" in server.waiting
    assert not (named and asked)
    assert server.waiting >= set(PARTIES) - {"four"}
