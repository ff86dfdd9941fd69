"""No party helps to open the sums of two cohorts under one context."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg import Participant, Policy, Session
from secagg.errors import ConfigError, PolicyRefused, WireError
from secagg.scheme import Ledger
from secagg.testing import TestRound
from secagg_protocols import PairwiseMasking

ids = st.integers(-5, 5) | st.sampled_from("abcde")
cohorts = st.frozensets(ids, max_size=8)


@given(context=st.sampled_from([b"round 1", b"round 2"]), before=cohorts, cohort=cohorts)
def test_the_rule(context, before, cohort):
    """One context, one cohort."""
    ledger = Ledger()
    ledger.add(b"round 1", before)
    if context == b"round 1" and cohort != before:
        for use in (ledger.check, ledger.add):
            with pytest.raises(PolicyRefused, match=f"a cohort that differs by {len(before ^ cohort)}"):
                use(context, cohort)
    else:
        ledger.check(context, cohort)
        ledger.add(context, cohort)


@given(history=st.dictionaries(st.sampled_from([b"", b"round 1", b"round 2", b"round 3"]), cohorts))
def test_bytes_are_the_ledger_whatever_its_order(history):
    ledger, backwards = Ledger(), Ledger()
    for opened in history.items():
        ledger.add(*opened)
    for opened in reversed(history.items()):
        backwards.add(*opened)
    data = ledger.to_bytes()
    assert backwards.to_bytes() == data
    assert Ledger.from_bytes(data).to_bytes() == data


def test_what_is_forgotten_no_longer_counts():
    ledger = Ledger()
    ledger.add(b"round 1", frozenset("abcd"))
    ledger.add(b"round 2", frozenset("abcd"))
    ledger.forget(b"round 1")
    ledger.forget(b"round 7")
    ledger.check(b"round 1", frozenset("abc"))
    with pytest.raises(PolicyRefused):
        ledger.check(b"round 2", frozenset("abc"))


@pytest.mark.parametrize("data", [b"", b"\x90", b"\x91\x91\x92\xc4\x01c\x91\x01", None, 5, "ledger"])
def test_what_is_no_ledger(data):
    with pytest.raises(WireError):
        Ledger.from_bytes(data)


def test_a_ledger_needs_a_context():
    session = Session.create(range(3), 0.0)
    with pytest.raises(ConfigError, match="a ledger tells rounds apart by their context, and this session has none"):
        Participant(PairwiseMasking(), session, 0, ledger=Ledger())
    Participant(PairwiseMasking(), session, 0, ledger=Ledger(), context=b"mine")


def opened(ledger, context, lost=(), restored=False):
    """A round of seven in which party 0 keeps `ledger`: whether it refused to unmask."""
    scheme, session = PairwiseMasking(threshold=4), Session.create(range(7), 0, context=context)
    round_ = TestRound(scheme, session, dict.fromkeys(range(7), 1), lost=dict.fromkeys(lost, "masked"))
    key, policy = bytes(32), Policy(min_cohort=3)
    round_.participants[0] = Participant(scheme, session, 0, policy, ledger=ledger)
    while round_.coordinator.phase != "unmask":
        round_.step()
    if restored:
        data = round_.participants[0].save(key)
        round_.participants[0] = Participant.restore(scheme, data, key, ledger=ledger)
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
    round_.participants[0] = Participant(PairwiseMasking(), session, 0, ledger=ledger)
    while round_.coordinator.phase != "unmask":
        round_.step()
    empty = ledger.to_bytes()
    ask = round_.coordinator.asks()[0]
    round_.participants[0].answer(ask, store=lambda _: stored.append(ledger.to_bytes()))
    assert empty == Ledger().to_bytes() != stored[0]
    with pytest.raises(PolicyRefused):
        Ledger.from_bytes(stored[0]).check(b"round 1", frozenset([0, 1]))
