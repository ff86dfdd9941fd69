"""A draw is the same for all who have the beacon and the roster, whatever the server calls its sessions and runs."""

import hashlib
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg import Credentials, Draw, Participant, Roster, Seat, Session
from secagg.errors import BadCohort, ConfigError, OutOfRange, PolicyRefused, StateError
from secagg.testing import SeededEntropy
from secagg_protocols import PairwiseMasking

BEACON = bytes(range(16))
PARTIES = ["a", 1, "1", -7, *range(20, 40)]
ROSTER = Roster({party: bytes([i]) * 32 for i, party in enumerate(PARTIES)})
DRAW = Draw(BEACON, size=5, rounds=100)


def naive(draw, roster, number):
    """The rule once more: all hashes, sorted."""

    def place(party):
        row = hashlib.sha256(draw.beacon).digest() + roster.digest + number.to_bytes(8, "little")
        return hashlib.sha256(b"secagg/draw/1" + row + msgspec.msgpack.encode(party)).digest()

    return tuple(sorted(roster.parties, key=place)[: draw.size])


def test_known_cohorts():
    """Written down once: a cohort that changes with the version would part old clients from new ones."""
    assert [DRAW.cohort(ROSTER, number) for number in (0, 1, 99)] == [
        (28, 23, 24, 32, 29),
        (24, 37, -7, 35, 30),
        (37, 31, 22, 32, 24),
    ]


@given(st.binary(min_size=16, max_size=99), st.integers(2, 24), st.integers(0, 2**63 - 2))
def test_a_cohort_is_the_members_of_least_hashes(beacon, size, number):
    draw = Draw(beacon, size, 2**63 - 1)
    assert draw.cohort(ROSTER, number) == naive(draw, ROSTER, number)


def test_the_order_of_the_roster_does_not_matter():
    keys = {party: ROSTER.key(party) for party in reversed(PARTIES)}
    assert DRAW.cohort(Roster(keys), 3) == DRAW.cohort(ROSTER, 3)


def test_beacon_roster_and_round_are_all_in_it():
    other = Roster({party: ROSTER.key(party)[::-1] if party != "a" else b"\xff" * 32 for party in PARTIES})
    cohorts = {DRAW.cohort(ROSTER, number) for number in range(100)}
    cohorts.add(Draw(BEACON + b"\0", 5, 100).cohort(ROSTER, 0))
    cohorts.add(DRAW.cohort(other, 0))
    assert len(cohorts) == 102


def test_every_member_is_drawn_as_often():
    """4800 draws with odds of 5 in 24 each; six standard deviations are 170."""
    draw = Draw(BEACON, 5, 4800)
    drawn = [party for number in range(4800) for party in draw.cohort(ROSTER, number)]
    assert all(abs(drawn.count(party) - 1000) < 170 for party in PARTIES)


def test_neighbours_on_the_roster_are_no_nearer_in_the_draw():
    """Odds of 5 * 4 in 24 * 23 for each pair."""
    draw = Draw(BEACON, 5, 4800)
    cohorts = [set(draw.cohort(ROSTER, number)) for number in range(4800)]
    expected = 4800 * 20 / (24 * 23)
    for one, other in pairwise(PARTIES):
        together = sum({one, other} <= cohort for cohort in cohorts)
        assert abs(together - expected) < 6 * np.sqrt(expected)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ((b"x" * 15, 5, 9), ConfigError, "beacon is b'x*': expected 16 to 1024 bytes"),
        ((b"x" * 1025, 5, 9), ConfigError, "expected 16 to 1024 bytes"),
        (("x" * 16, 5, 9), ConfigError, "expected 16 to 1024 bytes"),
        ((BEACON, 1, 9), OutOfRange, "size is 1: expected an integer in 2"),
        ((BEACON, 5, 0), OutOfRange, "rounds is 0: expected an integer in 1"),
        ((BEACON, 5, True), OutOfRange, "rounds is True"),
    ],
)
def test_what_draws_nothing(values, error, message):
    with pytest.raises(error, match=message):
        Draw(*values)


@pytest.mark.parametrize("number", [-1, 100, "3", 1.0])
def test_a_round_that_there_is_not(number):
    with pytest.raises(OutOfRange, match=r"round is .*: expected an integer in 0..99 \(Draw.rounds\)"):
        DRAW.cohort(ROSTER, number)


def test_a_roster_that_is_too_small_is_refused_when_the_party_is_set_up():
    with pytest.raises(BadCohort, match="cohorts of 5 from a roster of 4"):
        Credentials.generate(range(4), SeededEntropy(1), DRAW)
    with pytest.raises(BadCohort, match="cohorts of 5 from a roster of 4"):
        DRAW.cohort(Credentials.generate(range(4), SeededEntropy(1))[0].roster, 0)


CREDENTIALS = Credentials.generate(range(12), SeededEntropy(1), DRAW)
OWN = CREDENTIALS[0].roster


def joined(session, party):
    return Participant(PairwiseMasking(), session, Seat(party, credentials=CREDENTIALS[party]))


def test_the_order_of_a_session_is_free_and_its_parties_are_not():
    cohort = DRAW.cohort(OWN, 4)
    run = bytes(16)
    joined(Session.create(reversed(cohort), 0.0, run=run, round=4), cohort[0])
    for parties, number in ((cohort[:4], 4), (cohort, 5), (range(12), 4)):
        with pytest.raises(PolicyRefused, match=rf"not the cohort drawn for round {number}: \d+ parties too many"):
            joined(Session.create(parties, 0.0, run=run, round=number), cohort[0])


def test_a_round_beyond_the_last_is_refused():
    with pytest.raises(PolicyRefused, match="round 100: cohorts are drawn for 100 rounds"):
        joined(Session.create(range(12), 0.0, run=bytes(16), round=100), 0)


def test_a_session_of_no_run_is_that_of_round_0():
    cohort = DRAW.cohort(OWN, 0)
    joined(Session.create(cohort, 0.0), cohort[0])


def test_it_is_checked_when_a_party_is_restored():
    cohort, key = DRAW.cohort(OWN, 0), bytes(32)
    me = cohort[0]
    saved = joined(Session.create(cohort, 0.0), me).save(key)
    again = Credentials(CREDENTIALS[me].identity, OWN, Draw(BEACON[::-1], 5, 100))
    with pytest.raises(StateError, match="not the cohort drawn"):
        Participant.restore(PairwiseMasking(), saved, key, Seat(me, credentials=again))
