"""A protocol with a role, an announcement and results at the parties takes the same exam as any other."""

import numpy as np
import pytest
from plainsum import PlainServer, PlainSum

from secagg.api import Coordinator, prepare
from secagg.errors import ConfigError
from secagg.scheme import Session
from secagg.testing import TestRound
from secagg.testing.conformance import SchemeConformance


class TestPlainSum(SchemeConformance):
    def make(self, n):
        return PlainSum()

    # Its server sees every vector: nothing could be refused.
    test_no_sum_is_opened_under_the_policy_s_cohort = None
    test_no_sum_of_two_holds_a_party_that_asks_for_more = None
    test_it_is_plain_who_asked_for_more = None


class KnowsEarly(PlainServer):
    """Learns the sum at "blessing", and announces it afterwards."""

    def close(self, phase, answered):
        if phase.name == "total":
            return None
        super().close(phase, answered)
        return self.total() if phase.name == "blessing" else None

    def total(self):
        return PlainServer.close(self, PlainSum.phases[-1], frozenset())


class KnowsEarlyScheme(PlainSum):
    def server(self, session, saved=None, **_):
        return KnowsEarly(session, saved)


def test_a_sum_learnt_before_the_last_phase_is_the_result_after_it():
    updates = {i: np.full(3, i, np.uint16) for i in range(4)}
    for restart in (False, True):
        round_ = TestRound(KnowsEarlyScheme(), Session.create(range(4), updates[0]), updates, restart=restart)
        while round_.coordinator.phase != "total":
            round_.step()
        assert round_.coordinator.result is None  # the round is not over
        out = round_.run()
        np.testing.assert_array_equal(out.ring_sum, [6, 6, 6])
        assert out.contributors == {0, 1, 2, 3}


def test_its_first_phase_needs_a_session():
    session = Session.create(range(4), 0, run=bytes(16), round=1)
    with pytest.raises(ConfigError, match="plain-sum: its first phase cannot be answered before its session exists"):
        prepare(PlainSum(), 0, run=bytes(16), round=1)
    with pytest.raises(ConfigError, match="for plain-sum, which has none"):
        Coordinator(PlainSum(), session, prepared={0: b""})
