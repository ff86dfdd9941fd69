"""One caller at a time at either end: a second one is refused, whichever thread it is in, and finds nothing changed."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from plainsum import Adding, PlainParty, PlainSum

from secagg import Coordinator, Participant, Session, prepare
from secagg.errors import LocalMisuse
from secagg.scheme import Seat
from secagg.testing import TestRound
from secagg_protocols import PairwiseMasking

PARTIES = ["a", "b", "c"]
UPDATES = {party: np.full(3, i / 4) for i, party in enumerate(PARTIES)}
KEY = bytes(32)
ELSEWHERE = "called while a call in another thread is not over"
WITHIN = "called again by a function that it called itself"


def in_thread(call, *args):
    """What it returns in another thread; raises what it raises."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call, *args).result()


def at_the_vector():
    round_ = TestRound(PlainSum(), Session.create(PARTIES, UPDATES["a"]), UPDATES)
    return round_, round_.participants["a"], round_.coordinator.asks()["a"]


def refused(words, call, *args):
    with pytest.raises(LocalMisuse, match=words):
        call(*args)


def test_a_party_that_trains_answers_nobody_else():
    _, party, ask = at_the_vector()
    saved = []

    def train():
        refused(WITHIN, party.answer, ask, UPDATES["a"])
        refused(ELSEWHERE, in_thread, party.answer, ask, UPDATES["a"])
        refused(ELSEWHERE, in_thread, party.save, KEY)
        saved.append(party.save(KEY))
        return UPDATES["a"]

    reply = party.answer(ask, train)
    assert party.step == 1
    assert in_thread(party.answer, ask) == reply
    assert Participant.restore(PlainSum(), saved[0], KEY, "a").step == 0


def test_a_store_saves_and_does_not_answer():
    _, party, ask = at_the_vector()
    saved = []

    def store(me):
        refused(WITHIN, me.answer, ask)
        refused(ELSEWHERE, in_thread, me.save, KEY)
        saved.append(me.save(KEY))

    reply = party.answer(ask, UPDATES["a"], store=store)
    assert Participant.restore(PlainSum(), saved[0], KEY, "a").answer(ask) == reply


def test_a_call_that_fails_is_over():
    _, party, ask = at_the_vector()

    def fails(*_):
        raise OSError

    for options in ({"update": fails}, {"update": UPDATES["a"], "store": fails}):
        with pytest.raises(OSError):
            party.answer(ask, **options)
    assert in_thread(party.answer, ask) is not None


def test_a_coordinator_in_the_midst_of_a_reply_takes_no_other_call(monkeypatch):
    round_, party, ask = at_the_vector()
    server, absorb = round_.coordinator, Adding.absorb
    other = Coordinator.restore(PlainSum(), server.save(KEY), KEY)
    calls = {
        "asks": server.asks,
        "receive": lambda: server.receive("b", b""),
        "close_phase": server.close_phase,
        "merge": lambda: server.merge(other),
        "merge into another": lambda: other.merge(server),
        "save": lambda: server.save(KEY),
        "waiting": lambda: server.waiting,
    }
    met = []

    def meets(stage, round, sender, reply):
        for call in calls.values():
            refused(ELSEWHERE, in_thread, call)
            met.append(call)
        return absorb(stage, round, sender, reply)

    monkeypatch.setattr(Adding, "absorb", meets)
    server.receive("a", party.answer(ask, UPDATES["a"]))
    assert len(met) == len(calls)
    assert server.waiting == {"b", "c"}
    assert server.misbehaved == {}
    in_thread(server.receive, "b", round_.participants["b"].answer(server.asks()["b"], UPDATES["b"]))


def test_what_was_prepared_serves_one_of_two_threads(monkeypatch):
    scheme, names = PairwiseMasking(), {"run": bytes(16), "round": 1}
    session, prepared = Session.create(PARTIES, UPDATES["a"], **names), prepare(scheme, "a", **names)
    made, party = [], PairwiseMasking.party

    def slow(*args):
        if not made:
            made.append("first")
            refused(ELSEWHERE, in_thread, lambda: Participant(scheme, session, "a", prepared=prepared))
            refused(ELSEWHERE, in_thread, prepared.save, KEY)
        return party(*args)

    monkeypatch.setattr(PairwiseMasking, "party", slow)
    assert Participant(scheme, session, "a", prepared=prepared).step == 0
    refused("keys serve one round", lambda: Participant(scheme, session, "a", prepared=prepared))


def test_what_was_prepared_is_still_there_where_no_participant_came_of_it(monkeypatch):
    scheme, names = PairwiseMasking(), {"run": bytes(16), "round": 1}
    session, prepared = Session.create(PARTIES, UPDATES["a"], **names), prepare(scheme, "a", **names)
    with monkeypatch.context() as patch:
        patch.setattr(PairwiseMasking, "party", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Participant(scheme, session, "a", prepared=prepared)
    assert prepared.fits(scheme, session, Seat("a"))
    assert Participant(scheme, session, "a", prepared=prepared).step == 0


def test_a_machine_answers_what_it_has_read_once():
    session = Session.create(PARTIES, UPDATES["a"])
    machine = PlainSum().party(session, Seat("a").at(session))
    assert isinstance(machine, PlainParty)
    refused("no ask was read", machine.answer)
    phase = PlainSum.phases[0]
    machine.read(phase, phase.ask())
    assert machine.wants_vector
    refused("wants a vector", machine.answer)
    machine.read(phase, phase.ask())
    assert machine.answer(np.zeros(session.dim, session.ring.lane)).reply is not None
    refused("no ask was read", machine.answer)
