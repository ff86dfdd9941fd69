"""A server that may lie picks who of a roster is in a session. `corrupt` is a rate of the session: of a thousand
members, one in twenty of whom is its own, it puts its fifty and one honest client into a session, and the sum less the
vectors it knows is that client's. Every signature verifies, and `Policy.min_cohort` counts fifty-one names.

Where all members draw cohorts by one beacon (`Draw`), the session is refused. A draw that anything of the server's
enters, such as the name of a run, is one that it can repeat until it likes the cohort.
"""

from dataclasses import replace

import numpy as np
import pytest

from secagg import Coordinator, Credentials, Draw, Participant, Seat, Session
from secagg.errors import PolicyRefused, TooFew
from secagg.testing import SeededEntropy
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.demand import clients

MEMBERS, CORRUPT = range(1000), range(50)
VICTIM = 500
CHOSEN = [*CORRUPT, VICTIM]
BEACON = b"thrown with dice at the meeting of 3 May"
DRAW = Draw(BEACON, size=40, rounds=200)
KEYS = Credentials.generate(MEMBERS, SeededEntropy(13))
ROSTER = KEYS[VICTIM].roster
RATE = PairwiseMasking.corrupt_of_draw(DRAW, len(MEMBERS), len(CORRUPT) / len(MEMBERS))


def update_of(party):
    return np.random.default_rng(party).integers(0, 2**16, 7, np.uint16)


def session_of(parties, number=0, run=bytes(range(16))):
    return Session.create(parties, update_of(VICTIM), run=run, round=number)


def seat(party, draw, made=Credentials):
    return Seat(party, credentials=made(KEYS[party].identity, ROSTER, draw))


def played(session, draw, scheme=None, silent=(), made=Credentials):
    """The sum over a session in which all honest members draw cohorts so, some being left out at "masked"."""
    scheme = PairwiseMasking(adversary="active") if scheme is None else scheme
    server = Coordinator(scheme, session, ROSTER)
    members = {i: Participant(scheme, session, seat(i, None if i in CORRUPT else draw, made)) for i in session.parties}
    while not server.done:
        for i, ask in server.asks().items():
            if i not in silent or server.phase in ("keys", "shares"):
                server.receive(i, members[i].answer(ask, update_of(i)))
        server.close_phase()
    return server.result


def less_the_servers_own(out):
    own = sum(update_of(i).astype(np.int64) for i in out.contributors & {*CORRUPT})
    return out.ring_sum.astype(np.int64) - own


def test_where_the_server_picks_the_cohort_it_reads_one_client():
    out = played(session_of(CHOSEN), draw=None)
    np.testing.assert_array_equal(less_the_servers_own(out), update_of(VICTIM))


def test_a_client_that_draws_takes_no_part_in_it():
    with pytest.raises(PolicyRefused, match="not the cohort drawn for round 0"):
        played(session_of(CHOSEN), DRAW)


def altered_cohorts():
    drawn = DRAW.cohort(ROSTER, 7)
    honest = next(i for i in drawn if i not in CORRUPT)
    others = [i for i in CORRUPT if i not in drawn]
    yield "one honest member less", 7, [i for i in drawn if i != honest]
    yield "one of its own more", 7, [*drawn, others[0]]
    yield "one of its own in an honest member's place", 7, [others[0] if i == honest else i for i in drawn]
    yield "the cohort of another round", 8, drawn
    yield "a round of which there is none", DRAW.rounds, drawn


@pytest.mark.parametrize(("number", "parties"), [pytest.param(*row, id=name) for name, *row in altered_cohorts()])
def test_nor_in_one_that_is_nearly_drawn(number, parties):
    me = next(i for i in parties if i not in CORRUPT)
    with pytest.raises(PolicyRefused, match=r"not the cohort drawn|cohorts are drawn for 200 rounds"):
        Participant(PairwiseMasking(adversary="active"), session_of(parties, number), seat(me, DRAW))


def test_the_drawn_cohort_is_summed_whatever_the_run_is_called():
    cohort = DRAW.cohort(ROSTER, 7)
    for run in (bytes(16), bytes(range(16))):
        out = played(session_of(cohort, 7, run), DRAW)
        np.testing.assert_array_equal(out.ring_sum, sum(update_of(i).astype(np.int64) for i in cohort))


class DrawsByRun(Credentials):
    """The twin: a draw that the run's name enters, and runs are the server's to name."""

    def check_cohort(self, session):
        if self.draw is not None:
            by_run(session.run, self.draw).check_cohort(self.roster, session.round, session.parties)


def by_run(run, draw):
    return replace(draw, beacon=draw.beacon + run)


def test_a_draw_by_run_is_repeated_until_the_server_likes_it():
    few = Draw(BEACON, size=3, rounds=1)
    runs = (number.to_bytes(16, "little") for number in range(1000))
    run, cohort = next(
        (run, cohort)
        for run in runs
        for cohort in [by_run(run, few).cohort(ROSTER, 0)]
        if len({*cohort} - {*CORRUPT}) == 1
    )
    (victim,) = {*cohort} - {*CORRUPT}
    scheme = PairwiseMasking(adversary="active", corrupt=0)
    out = played(session_of(cohort, run=run), few, scheme, made=DrawsByRun)
    np.testing.assert_array_equal(less_the_servers_own(out), update_of(victim))
    with pytest.raises(PolicyRefused, match="not the cohort drawn for round 0"):
        played(session_of(cohort, run=run), few, scheme)


def test_the_best_cohort_of_all_rounds_is_within_the_rate():
    """What is left to the server is which round it runs, and the rate is for the worst of all."""
    most = max(len({*DRAW.cohort(ROSTER, number)} & {*CORRUPT}) for number in range(DRAW.rounds))
    assert most <= clients(DRAW.size, RATE) < DRAW.size / 2


def test_what_a_server_that_drops_honest_members_has_left():
    """It may leave out honest members down to the threshold t, whom it likes: t - c are in any sum."""
    scheme, cohort = PairwiseMasking(adversary="active", corrupt=RATE), DRAW.cohort(ROSTER, 7)
    session = session_of(cohort, 7)
    threshold = scheme.parameters(session).threshold
    honest = [i for i in cohort if i not in CORRUPT]
    spare = len(cohort) - threshold
    out = played(session, DRAW, scheme, honest[:spare])
    assert len(out.contributors) == threshold
    assert len(out.contributors - {*CORRUPT}) >= threshold - clients(DRAW.size, RATE) > 2
    with pytest.raises(TooFew):
        played(session, DRAW, scheme, honest[: spare + 1])
