"""No party helps to open the sums of two cohorts under one context."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg import Coordinator, Participant, Policy, Session, prepare
from secagg.errors import ConfigError, PolicyRefused, StateError, WireError
from secagg.scheme import Ledger, Seat, Store
from secagg.testing import TestRound, rewritten
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import AskShares

ids = st.integers(-5, 5) | st.sampled_from("abcde")
cohorts = st.frozensets(ids, max_size=8)


encodings = st.sampled_from([bytes(32), b"other clips, or other weights..."])


@given(context=st.sampled_from([b"round 1", b"round 2"]), before=cohorts, cohort=cohorts, old=encodings, new=encodings)
def test_the_rule(context, before, cohort, old, new):
    """One context, one cohort, one encoding."""
    ledger = Ledger()
    ledger.add(b"round 1", old, before)
    if context == b"round 1" and (new, cohort) != (old, before):
        why = "with another structure, bits, clip" if cohort == before else f"differs by {len(before ^ cohort)}"
        for use in (ledger.check, ledger.add):
            with pytest.raises(PolicyRefused, match=f"a second sum of updates of the same model .*{why}"):
                use(context, new, cohort)
    else:
        ledger.check(context, new, cohort)
        ledger.add(context, new, cohort)


@given(st.dictionaries(st.sampled_from([b"", b"round 1", b"round 2", b"round 3"]), st.tuples(encodings, cohorts)))
def test_bytes_are_the_ledger_whatever_its_order(history):
    ledger, backwards = Ledger(), Ledger()
    for context, opened in history.items():
        ledger.add(context, *opened)
    for context, opened in reversed(history.items()):
        backwards.add(context, *opened)
    data = ledger.to_bytes()
    assert backwards.to_bytes() == data
    restored = Ledger.from_bytes(data)
    assert restored.to_bytes() == data
    for context, opened in history.items():
        restored.check(context, *opened)


def test_what_is_forgotten_no_longer_counts():
    ledger = Ledger()
    ledger.add(b"round 1", bytes(32), frozenset("abcd"))
    ledger.add(b"round 2", bytes(32), frozenset("abcd"))
    ledger.forget(b"round 1")
    ledger.forget(b"round 7")
    ledger.check(b"round 1", bytes(32), frozenset("abc"))
    with pytest.raises(PolicyRefused):
        ledger.check(b"round 2", bytes(32), frozenset("abc"))


NO_DIGEST = msgspec.msgpack.encode([[[bytes(32), b"short", [1]]], []])


@pytest.mark.parametrize("data", [b"", b"\x90", NO_DIGEST, None, 5, "ledger"])
def test_what_is_no_ledger(data):
    with pytest.raises(WireError):
        Ledger.from_bytes(data)


FAMILIES = [bytes(16), b"one training run"]


@given(rounds=st.lists(st.tuples(st.sampled_from(FAMILIES), st.integers(0, 9)), max_size=12))
def test_rounds_of_a_family_only_grow(rounds):
    ledger, last = Ledger(), {}
    for run, number in rounds:
        if number > last.get(run, -1):
            ledger.check_round(run, number)
            ledger.enter(run, number)
            last[run] = number
        else:
            for use in (ledger.check_round, ledger.enter):
                with pytest.raises(PolicyRefused, match=f"round {number} of a run .* entered round {last[run]}"):
                    use(run, number)
        ledger = Ledger.from_bytes(ledger.to_bytes())
    for run, number in last.items():
        ledger.forget_run(run)
        ledger.enter(run, number)


def test_a_round_is_entered_with_its_first_reply():
    """Not before, and whether or not keys were prepared; a restart in the middle is no second entry."""
    scheme = PairwiseMasking()
    for ahead in (False, True):
        ledger = Ledger()
        session = Session.create(range(3), 0, context=b"c", run=bytes(16), round=2)
        prepared = {i: prepare(scheme, i, run=bytes(16), round=2) for i in range(3)} if ahead else {}
        server = Coordinator(scheme, session, prepared={i: each.message for i, each in prepared.items()})
        client = Participant(scheme, session, Seat(0, context=b"c", store=Store(ledger)), prepared=prepared.get(0))
        ledger.check_round(bytes(16), 2)
        ask = server.asks()[0]
        reply = client.answer(ask)
        with pytest.raises(PolicyRefused):
            ledger.check_round(bytes(16), 2)
        assert client.answer(ask) == reply
        again = Participant.restore(scheme, client.save(bytes(32)), bytes(32), Seat(0, store=Store(ledger)), latch=1)
        assert again.answer(ask) == reply
        late = Participant(scheme, session, Seat(0, context=b"c", store=Store(ledger)))
        with pytest.raises(PolicyRefused, match="has entered round 2"):
            late.answer(Coordinator(scheme, session).asks()[0])


def test_who_refuses_the_first_ask_has_entered_no_round():
    """It has left it, having revealed nothing; were the round used up, so would be a new participant's."""
    session = Session.create(range(3), 0, context=b"c", run=bytes(16), round=2)
    prepared = {i: prepare(PairwiseMasking(), i, run=bytes(16), round=2) for i in range(3)}
    messages = {i: each.message for i, each in prepared.items()}
    seat = Seat(0, context=b"c", store=Store(Ledger()))
    client = Participant(PairwiseMasking(), session, seat, prepared=prepared[0])
    malformed = rewritten(
        Coordinator(PairwiseMasking(), session, prepared=messages).asks()[0], AskShares, keys=bytes(95)
    )
    with pytest.raises(WireError, match="public keys"):
        client.answer(malformed)
    assert client.left
    again = Participant(PairwiseMasking(), session, seat)
    assert again.answer(Coordinator(PairwiseMasking(), session).asks()[0])
    with pytest.raises(PolicyRefused), seat.store.open_ledger() as ledger:
        ledger.check_round(bytes(16), 2)


@pytest.mark.parametrize("entered", [[[b"f" * 15, 1]], [[b"f" * 16, -1]], [[b"f" * 16, 1], [b"f" * 16, 2]]])
def test_what_is_no_round_is_no_ledger(entered):
    with pytest.raises(WireError, match="ledger"):
        Ledger.from_bytes(msgspec.msgpack.encode([[], entered]))


@pytest.mark.parametrize("context", [None, b""])
def test_a_ledger_needs_a_context_of_the_partys_own(context):
    """The server could give two rounds on one model two names."""
    session = Session.create(range(3), 0.0, context=b"what the server says")
    with pytest.raises(ConfigError, match=r"a ledger tells rounds apart .* give the context that this party received"):
        Participant(PairwiseMasking(), session, Seat(0, context=context, store=Store(Ledger())))
    Participant(PairwiseMasking(), session, Seat(0, context=b"mine", store=Store(Ledger())))


def test_a_party_with_a_ledger_is_not_restored_without():
    session = Session.create(range(3), 0, context=b"c")
    kept = Participant(PairwiseMasking(), session, Seat(0, context=b"c", store=Store(Ledger()))).save(bytes(32))
    with pytest.raises(StateError, match="restore it with its store"):
        Participant.restore(PairwiseMasking(), kept, bytes(32), 0)
    Participant.restore(PairwiseMasking(), kept, bytes(32), Seat(0, store=Store(Ledger())))
    none = Participant(PairwiseMasking(), session, 0).save(bytes(32))
    Participant.restore(PairwiseMasking(), none, bytes(32), Seat(0, store=Store(Ledger())))


def opened(ledger, context, lost=(), restored=False):
    """A round of seven in which party 0 keeps `ledger`: whether it refused to unmask."""
    scheme, session = PairwiseMasking(threshold=4), Session.create(range(7), 0, context=context)
    round_ = TestRound(scheme, session, dict.fromkeys(range(7), 1), lost=dict.fromkeys(lost, "masked"))
    key, policy = bytes(32), Policy(min_cohort=3)
    round_.participants[0] = Participant(scheme, session, Seat(0, policy=policy, context=context, store=Store(ledger)))
    while round_.coordinator.phase != "unmask":
        round_.step()
    if restored:
        data = round_.participants[0].save(key)
        round_.participants[0] = Participant.restore(scheme, data, key, Seat(0, store=Store(ledger)))
    assert round_.run().contributors == set(range(7)) - set(lost)
    return 0 not in round_.refusals


@pytest.mark.parametrize("restored", [False, True])
def test_a_party_refuses_a_second_cohort(restored):
    ledger = Ledger()
    assert opened(ledger, b"round 1", restored=restored)
    assert not opened(ledger, b"round 1", lost=[6], restored=restored)
    assert not opened(ledger, b"round 1", lost=[5, 6], restored=restored)
    assert opened(ledger, b"round 1", restored=restored)
    assert opened(ledger, b"round 2", lost=[6], restored=restored)
    assert not opened(Ledger.from_bytes(ledger.to_bytes()), b"round 2", restored=restored)


def test_the_ledger_is_written_before_the_share_leaves():
    """What `store` saves already holds the sum that the reply helps to open."""
    session = Session.create(range(3), 0, context=b"round 1")
    ledger, stored = Ledger(), []
    round_ = TestRound(PairwiseMasking(), session, dict.fromkeys(range(3), 1))
    round_.participants[0] = Participant(PairwiseMasking(), session, Seat(0, context=b"round 1", store=Store(ledger)))
    while round_.coordinator.phase != "unmask":
        round_.step()
    empty = ledger.to_bytes()
    ask = round_.coordinator.asks()[0]
    round_.participants[0].answer(ask, store=lambda _: stored.append(ledger.to_bytes()))
    assert empty == Ledger().to_bytes() != stored[0]
    with pytest.raises(PolicyRefused):
        Ledger.from_bytes(stored[0]).check(b"round 1", session.encoding.digest, frozenset([0, 1]))
