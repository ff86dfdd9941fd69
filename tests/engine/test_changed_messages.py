"""Well-formed messages with other contents, either way: an error of ours, at the cost of one party at most."""

from contextlib import suppress

import numpy as np
import pytest
from damage import changed, with_field
from hypothesis import given, settings
from hypothesis import strategies as st

from secagg import Session, TooFew
from secagg.errors import PeerMisbehaved
from secagg.testing import TestRound
from secagg.wire import codec, frame
from secagg_protocols import PairwiseMasking

PARTIES = ["a", 1, "c", 3]
UPDATES = {party: np.arange(5, dtype=np.uint16) + 1000 * i for i, party in enumerate(PARTIES)}
CULPRIT = 1
SCHEMES = [PairwiseMasking(threshold=3), PairwiseMasking(adversary="active")]
PHASES = [(scheme, phase) for scheme in SCHEMES for phase in scheme.phases]


def in_each(phases):
    names = [f"{scheme.adversary} {phase.name}" for scheme, phase in phases]
    return pytest.mark.parametrize(("scheme", "phase"), phases, ids=names)


def new_round(scheme, **options):
    return TestRound(scheme, Session.create(PARTIES, UPDATES["a"]), UPDATES, **options)


def with_a_changed_field(data, kind, draw):
    message = codec.decode(frame.unwrap(data).body, kind)
    name = draw.draw(st.sampled_from(kind.__struct_fields__))
    return with_field(data, kind, name, draw.draw(changed(getattr(message, name))))


def exact_without_the_culprit(out, phase):
    """The culprit's vector counts where it was lost after it had sent it."""
    counted = [party for party in PARTIES if party != CULPRIT or phase.name in ("consistency", "unmask")]
    assert out.contributors == frozenset(counted)
    assert out.sum.tolist() == sum(UPDATES[party].astype(int) for party in counted).tolist()
    assert out.lost == {CULPRIT: phase.name}


@in_each([(scheme, phase) for scheme, phase in PHASES if phase.ask.__struct_fields__])
@settings(max_examples=20)
@given(draw=st.data())
def test_a_changed_ask_costs_the_asked_alone(scheme, phase, draw):
    """It refuses, or its reply answers another ask than the server's: either way the others' sum is exact."""

    def asks(at, party, ask):
        return with_a_changed_field(ask, phase.ask, draw) if (at, party) == (phase.name, CULPRIT) else ask

    round_ = new_round(scheme, asks=asks)
    exact_without_the_culprit(round_.run(), phase)
    assert set(round_.refusals) | set(round_.coordinator.misbehaved) == {CULPRIT}


@in_each(PHASES)
@settings(max_examples=20)
@given(draw=st.data())
def test_a_changed_reply_never_stops_the_others(scheme, phase, draw):
    """It costs its sender, or is taken, or the round ends by name.

    A changed key or vector may be taken: a client that lies about them only poisons a sum it could poison anyway.
    """

    def replies(at, party, reply):
        return with_a_changed_field(reply, phase.reply, draw) if (at, party) == (phase.name, CULPRIT) else reply

    round_ = new_round(scheme, replies=replies)
    while round_.coordinator.phase != phase.name:
        round_.step()
    round_.exchange()
    assert set(round_.coordinator.misbehaved) <= {CULPRIT}
    if round_.coordinator.misbehaved:
        round_.coordinator.close_phase()
        exact_without_the_culprit(round_.run(), phase)
        return
    with suppress(TooFew, PeerMisbehaved):
        round_.coordinator.close_phase()
        assert round_.run().contributors <= set(PARTIES)
