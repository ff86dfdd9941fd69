"""Whatever a sound frame holds, the server never raises, and a party raises only what `Participant.answer` states.

Saved state that was altered under its seal raises StateError.
"""

import random

import pytest
from decoders import PARTIES, RECORDED, UPDATES, Recorded
from hypothesis import given, settings
from hypothesis import strategies as st
from mutation import damaged, revalued

from secagg import Coordinator, Participant
from secagg.errors import ProtocolError, StateError, WireError
from secagg.wire import frame

KEY = bytes(32)
PHASES = [(name, phase.name) for name, recorded in RECORDED.items() for phase in recorded.scheme.phases]
each_phase = pytest.mark.parametrize(("name", "phase"), PHASES)
seeds = st.integers(0, 2**64 - 1)


class Paused:
    """A round that stands before the replies of one phase, as bytes to start from again and again."""

    def __init__(self, name: str, phase: str) -> None:
        recorded = RECORDED[name]
        self.scheme, self.roster = recorded.scheme, recorded.round.roster
        self.credentials = recorded.credentials.get(PARTIES[0])
        place = [each.name for each in recorded.scheme.phases].index(phase)
        self.server_state = recorded.server_states[2 * place]
        self.party_state = recorded.party_states[place]
        self.asks, self.replies = recorded.asks[phase], recorded.replies[phase]
        self.recorded: Recorded = recorded

    def server(self):
        return self.recorded.restore_server(self.server_state)

    def party(self):
        return self.recorded.restore_party(self.party_state)


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
    party = server.session.parties[frame.unwrap(reply).party]
    changed = with_another_body(reply, paused.replies, seed)
    server.receive(party, changed)
    assert (party in server.misbehaved) != bool(server.tallies[server._phase].received[party])
    assert server.phase.name == phase


@each_phase
@settings(max_examples=25)
@given(seed=seeds)
def test_a_party_refuses_or_answers(name, phase, seed):
    paused = PAUSED[name, phase]
    party = paused.party()
    session = party.session
    vector = session.encoding.encode(UPDATES[PARTIES[0]], 1, random.Random(seed).randbytes)
    try:
        reply = party.answer(with_another_body(paused.asks[0], paused.asks, seed), vector, lambda: None)
    except (ProtocolError, WireError):
        assert party.step == paused.party().step
    else:
        assert frame.unwrap(reply).direction == frame.REPLY


@settings(max_examples=200)
@given(seed=seeds)
def test_sealed_state_that_was_altered(seed):
    draw = random.Random(seed)
    recorded = RECORDED[draw.choice(sorted(RECORDED))]
    ends = (
        (recorded.round.coordinator.save(KEY), lambda data: Coordinator.restore(recorded.scheme, data, KEY)),
        (recorded.round.participants["one"].save(KEY), lambda data: Participant.restore(recorded.scheme, data, KEY)),
    )
    state, restore = draw.choice(ends)
    altered = damaged(state, [state], draw)
    if altered != state:
        with pytest.raises(StateError):
            restore(altered)
