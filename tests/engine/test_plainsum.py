"""A protocol with a role, an announcement and results at the parties takes the same exam as any other."""

from dataclasses import replace

import numpy as np
import pytest
from plainsum import Adding, Blessed, PlainSum

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
    test_a_party_s_own_word_decides_what_it_adds_to = None
    test_a_party_s_own_ledger_decides_what_it_opens = None


def test_a_sum_learnt_before_the_last_phase_is_the_result_after_it():
    """It is known once "vector" has closed, and its server announces it afterwards."""
    updates = {i: np.full(3, i, np.uint16) for i in range(4)}
    for restart in (False, True):
        round_ = TestRound(PlainSum(), Session.create(range(4), updates[0]), updates, restart=restart)
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


class Unasked(Blessed):
    def asks(self, round, alive):
        return {}

    def close(self, round, phase, answered):
        assert not answered
        return Unasked(self.vector, self.contributors) if phase == "first" else super().close(round, phase, {0})


class AddingForNobody(Adding):
    def close(self, round, phase, answered):
        blessed = super().close(round, phase, answered)
        return Unasked(blessed.vector, blessed.contributors)


class NobodyBlesses(PlainSum):
    """Two phases in a row that ask nobody."""

    vector, blessing, total = PlainSum.phases
    phases = (
        replace(vector, server=AddingForNobody),
        replace(blessing, name="first", server=Unasked),
        replace(blessing, name="second", server=Unasked),
        total,
    )


def test_phases_that_ask_nobody_cost_no_trip():
    updates = {i: np.full(3, i, np.uint16) for i in range(4)}
    round_ = TestRound(NobodyBlesses(), Session.create(range(4), updates[0]), updates, lost={3: "vector"})
    round_.step()
    assert round_.coordinator.phase == "total"
    assert round_.coordinator.lost == {3: "vector"}
    np.testing.assert_array_equal(round_.run().ring_sum, [3, 3, 3])
