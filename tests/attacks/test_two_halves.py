"""Two halves of a cohort open a sum each, and no party both: a ledger records what its party helps to open, and
nobody's has two sums of the model. The difference is the sum over the few in which the cohorts differ, under
everybody's minimum.

A policy with `same_parties` closes it, at a price: a round that failed is repeated over the same parties, or of another
model. Without it a server that changes the model by 1e-9 needs no halves (docs/threat-model.md, Nearly the same model).
One client alone is never the difference: t is more than half of a session and its corrupt, so both halves fit only if
the larger cohort has several parties more.
"""

import os

import numpy as np
import pytest

from secagg import Credentials, Policy, Seat, Session, Store, TooFew
from secagg.api.local import LocalRound
from secagg_protocols import PairwiseMasking

SMALL, MINIMUM, MODEL = 14, 5, b"m" * 32
UPDATES = {party: np.random.default_rng(party).normal(0, 0.2, 50).clip(-1, 1) for party in range(20)}


def least_threshold(parties):
    """That clients take who assume that one in twenty is corrupt."""
    return (parties + -(-parties * 5 // 100)) // 2 + 1


class Server:
    """Sessions of one model, each in a run of its own, among parties that keep their ledgers."""

    def __init__(self, parties, same_parties=False):
        self.policy = Policy(min_cohort=MINIMUM, same_parties=same_parties)
        self.credentials = Credentials.generate(range(parties), os.urandom)
        self.stores = {party: Store() for party in range(parties)}

    def summed(self, parties, lost):
        scheme = PairwiseMasking(adversary="active", threshold=least_threshold(len(parties)))
        session = Session.create(parties, UPDATES[0], context=b"model m", run=os.urandom(16), round=0)
        seats = {
            party: Seat(
                party,
                self.policy,
                session.context,
                credentials=self.credentials[party],
                store=self.stores[party],
                model=MODEL,
            )
            for party in parties
        }
        round_ = LocalRound(scheme, session, UPDATES, None, lost, seats)
        try:
            return round_.run()
        finally:
            self.refusals = round_.refusals

    def both(self, more):
        """The sum over those whom the larger cohort has more."""
        small, large = range(SMALL), range(SMALL + more)
        opening = set(small[: least_threshold(SMALL)])
        first = self.summed(small, {party: "unmask" for party in small if party not in opening})
        second = self.summed(large, dict.fromkeys(opening, "consistency"))
        return second.sum - first.sum


def test_the_difference_of_two_halves_is_a_sum_under_everybodys_minimum():
    more = MINIMUM - 1
    found = Server(SMALL + more).both(more)
    true = sum(UPDATES[party] for party in range(SMALL, SMALL + more))
    assert np.abs(found - true).max() < 1e-3 < np.abs(true).mean()


def test_who_gives_vectors_of_one_model_among_the_same_parties_only_is_in_one_half():
    more = MINIMUM - 1
    server = Server(SMALL + more, same_parties=True)
    with pytest.raises(TooFew):
        server.both(more)
    assert set(server.refusals) == set(range(SMALL))
    assert all("a second sum of updates of the same model" in str(why) for why in server.refusals.values())


def test_the_same_parties_may_try_again():
    server = Server(SMALL, same_parties=True)
    with pytest.raises(TooFew):
        server.summed(range(SMALL), dict.fromkeys(range(SMALL - 3), "unmask"))
    assert len(server.summed(range(SMALL), {}).contributors) == SMALL


@pytest.mark.parametrize("more", [1, 2])
def test_for_one_or_two_the_halves_are_too_few(more):
    with pytest.raises(TooFew):
        Server(SMALL + more).both(more)
