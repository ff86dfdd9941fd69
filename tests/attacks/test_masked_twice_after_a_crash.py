"""A client answers "masked", crashes, is restored to the state before, trains again and answers once more: the masks
are the same, so the two vectors differ by the two updates (a two-time pad; issue 5).
"""

import numpy as np
import pytest
from attacker import OTHERS, UPDATES, VICTIM, LyingServer, make_round, play
from twins import NoLatch

from secagg.api import Participant
from secagg.errors import StateError
from secagg.testing import opened
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import Masked

KEY = bytes(32)
RETRAINED = UPDATES[VICTIM][::-1].copy()


def crash(kind, journal):
    """The victim's two answers to one ask, from two updates.

    `journal` is "before" or "after": what was on disk when it crashed, the state before or after the first answer.
    """
    round_ = play(make_round(PairwiseMasking()), "masked")
    victim, ask = round_.participants[VICTIM], round_.coordinator.asks()[VICTIM]
    stored = {"before": victim.save(KEY)}
    first = victim.answer(ask, UPDATES[VICTIM], store=lambda p: stored.update(after=p.save(KEY)))
    restored = kind.restore(round_.scheme, stored[journal], KEY, VICTIM, latch=victim.step)
    return round_, first, restored.answer(ask, RETRAINED)


def test_without_a_latch_the_difference_of_two_updates_is_in_the_open():
    round_, first, second = crash(NoLatch, "before")
    assert opened(first, Masked).vector != opened(second, Masked).vector
    server = LyingServer.of(round_)
    server.sent["masked", VICTIM] = first
    one = server.masked(VICTIM)
    server.sent["masked", VICTIM] = second
    difference = round_.session.ring.reduce(one - server.masked(VICTIM)).astype(np.int64)
    wrapped = (UPDATES[VICTIM].astype(np.int64) - RETRAINED) % 2**round_.session.ring.bits
    np.testing.assert_array_equal(difference[: wrapped.size], wrapped)


def test_a_state_older_than_the_latch_is_refused():
    with pytest.raises(StateError, match="at step 2, but this party is known to have reached step 3"):
        crash(Participant, "before")


def test_the_stored_answer_is_given_again_and_training_is_not_asked():
    _, first, second = crash(Participant, "after")
    assert first == second


def test_the_round_goes_on_without_the_party_that_lost_its_state():
    round_ = play(make_round(PairwiseMasking(), lost={VICTIM: "masked"}), "masked")
    assert round_.run().contributors == set(OTHERS)
