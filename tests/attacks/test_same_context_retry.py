"""A server runs a round again on the same model without the victim: the difference of the two sums is its update
(differencing; Dinur and Nissim, PODS 2003; for secure aggregation So et al., "Securing Secure Aggregation", AAAI 2023).
"""

import numpy as np
import pytest
from attacker import CONTEXT, DIM, UPDATES, VICTIM, N, make_session

from secagg.api import Participant
from secagg.errors import PolicyRefused, TooFew
from secagg.scheme import Ledger, Seat, Session, Store
from secagg.testing import TestRound
from secagg_protocols import PairwiseMasking

SCHEME = PairwiseMasking()


def run(ledgers, session=None, **options):
    """One round among parties with these ledgers, on the same model unless the session says otherwise."""
    session = session or make_session()
    round_ = TestRound(SCHEME, session, UPDATES, **options)
    for party in session.parties:
        round_.participants[party] = Participant(
            SCHEME,
            session,
            Seat(party, context=session.context, store=Store(ledgers[party]) if party in ledgers else None),
        )
    return round_


def test_parties_without_a_ledger_give_the_difference_away():
    first = run({}).run().ring_sum.astype(np.int64)
    second = run({}, lost={VICTIM: "masked"}).run().ring_sum.astype(np.int64)
    np.testing.assert_array_equal(first - second, UPDATES[VICTIM])


@pytest.mark.parametrize("phase", ["keys", "shares", "masked"])
def test_the_second_sum_is_refused_by_all_who_helped_with_the_first(phase):
    ledgers = {i: Ledger() for i in range(N)}
    run(ledgers).run()
    again = run(ledgers, lost={VICTIM: phase})
    with pytest.raises(TooFew):
        again.run()
    assert set(again.refusals) == set(range(N)) - {VICTIM}
    assert all(isinstance(error, PolicyRefused) for error in again.refusals.values())
    assert "differs by 1" in str(again.refusals[0])
    assert not any(phase == "unmask" for phase, _ in again.sent)


def test_the_ledger_outlives_the_process():
    ledgers = {i: Ledger() for i in range(N)}
    run(ledgers).run()
    restored = {i: Ledger.from_bytes(ledger.to_bytes()) for i, ledger in ledgers.items()}
    again = run(restored, lost={VICTIM: "masked"})
    with pytest.raises(TooFew):
        again.run()
    assert len(again.refusals) == N - 1


def test_the_next_model_is_another_matter():
    ledgers = {i: Ledger() for i in range(N)}
    run(ledgers).run()
    session = make_session(context=b"model 8, round 4")
    out = run(ledgers, session, lost={VICTIM: "masked"}).run()
    assert out.contributors == set(range(N)) - {VICTIM}


class ComparesPairs(Ledger):
    """Allows two cohorts under one context that differ by the minimum cohort: no pair of sums tells of fewer."""

    def check(self, context, encoding, contributors):
        if any(0 < len(before ^ contributors) < 3 for before in self.cohorts):
            raise PolicyRefused("too close")

    def add(self, context, encoding, contributors):
        self.cohorts = [*self.cohorts, contributors]

    cohorts = ()


def three_cohorts(ledger):
    """Two that lie far apart, and everybody: the sums of the first two leave the victim's of the third."""
    left, right = (0, 1, 2), (4, 5, 6)
    ledgers = {i: ledger() for i in range(7)}
    sums = []
    for cohort in (left, right, (*left, VICTIM, *right)):
        round_ = run(ledgers, Session.create(cohort, UPDATES[0], context=CONTEXT))
        sums.append(round_.run().ring_sum.astype(np.int64))
    return sums[2] - sums[0] - sums[1]


def test_ledgers_that_compare_pairs_give_the_victim_away():
    """Each party helped at most twice, with cohorts that differ by four; the victim helped once."""
    difference = three_cohorts(ComparesPairs)
    np.testing.assert_array_equal(difference, UPDATES[VICTIM])
    assert difference.size == DIM


def test_one_context_one_cohort():
    with pytest.raises(TooFew) as error:
        three_cohorts(Ledger)
    assert (error.value.phase, error.value.answered) == ("unmask", 1)
