"""A party's own limits hold whatever the server says, and before anything is allocated."""

import tracemalloc

import numpy as np
import pytest

from secagg import Participant, Policy, Session
from secagg.errors import OutOfRange, PolicyRefused, TooFew
from secagg.scheme.policy import check_least
from secagg_protocols import PairwiseMasking


def session(parties=3, dim=5):
    return Session.create(range(parties), np.broadcast_to(np.float32(0), (dim,)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((1,), "min_cohort is 1: expected an integer, at least 2: a sum of one vector is that vector"),
        ((0,), "min_cohort is 0"),
        ((-3,), "min_cohort is -3"),
        ((3, 0), "max_dim is 0: expected an integer, 1 or more"),
        ((3, 5, 1), "min_threshold is 1: expected an integer, at least 2: one share must not open a secret"),
        (("3",), "min_cohort is '3': expected an integer"),
        ((3.0,), "min_cohort is 3.0: expected an integer"),
        ((float("nan"),), "min_cohort is nan: expected an integer"),
        ((None,), "min_cohort is None: expected an integer"),
        ((True,), "min_cohort is True: expected an integer"),
        ((3, 5, 2.0), "min_threshold is 2.0: expected an integer"),
        ((3, 1e6), "max_dim is 1000000.0: expected an integer"),
    ],
)
def test_limits_that_limit_nothing(values, message):
    with pytest.raises(OutOfRange, match=message):
        Policy(*values)


@pytest.mark.parametrize("least", [2, 3, 10])
def test_the_smallest_cohort_is_inclusive(least):
    policy = Policy(min_cohort=least)
    policy.check_cohort(least)
    policy.check_session(session(parties=least))
    with pytest.raises(PolicyRefused, match=f"a sum over {least - 1} parties: .* at least {least}"):
        policy.check_cohort(least - 1)


def test_two_parties_are_too_few_unless_a_party_says_otherwise():
    with pytest.raises(PolicyRefused, match="a sum over 2 parties: this party's policy asks for at least 3"):
        Participant(PairwiseMasking(), session(parties=2), 0)
    Participant(PairwiseMasking(), session(parties=2), 0, policy=Policy(min_cohort=2))


def test_the_smallest_threshold_is_inclusive():
    Policy(min_threshold=3).check_threshold(3)
    with pytest.raises(PolicyRefused, match="2 shares open a secret: this party's policy asks for at least 3"):
        Policy(min_threshold=3).check_threshold(2)


def test_a_party_takes_no_part_under_its_own_threshold():
    Participant(PairwiseMasking(), session(), 0, policy=Policy(min_threshold=3))
    with pytest.raises(PolicyRefused, match="3 shares open a secret"):
        Participant(PairwiseMasking(), session(), 0, policy=Policy(min_threshold=4))


def test_the_dimension_counts_the_whole_ring_vector():
    """Five entries, and one that counts the clipped."""
    Policy(max_dim=6).check_session(session(dim=5))
    with pytest.raises(PolicyRefused, match="session of 6 entries: this party's policy allows 5"):
        Policy(max_dim=5).check_session(session(dim=5))


def test_a_session_over_the_limit_allocates_nothing():
    data = session(dim=2**35).to_bytes()
    tracemalloc.start()
    try:
        with pytest.raises(PolicyRefused, match=r"session of .* entries: this party's policy allows 268435456"):
            Participant(PairwiseMasking(), Session.from_bytes(data), 0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200_000


@pytest.mark.parametrize(
    ("least", "needed", "culprits"),
    [
        ({}, 2, set()),
        ({"a": 3}, 3, {"a"}),
        ({"a": 2, "b": 3}, 3, {"b"}),
        ({"a": 4, "b": 5, "c": 3}, 5, {"a", "b"}),
    ],
)
def test_too_few_for_one_of_them_names_who_asks_for_more(least, needed, culprits):
    with pytest.raises(TooFew) as error:
        check_least("encrypted", least)
    assert (error.value.answered, error.value.needed, error.value.culprits) == (len(least), needed, culprits)
    assert all(
        (f"party {party!r} asks for {asked}" in str(error.value)) == (party in culprits)
        for party, asked in least.items()
    )


def test_enough_for_all():
    check_least("encrypted", {"a": 2, "b": 2})
    check_least("encrypted", {"a": 3, "b": 2, "c": 3})


def test_an_error_names_a_few_of_many():
    with pytest.raises(TooFew, match="party 4 asks for 9, 3 others for more, too") as error:
        check_least("encrypted", dict.fromkeys(range(8), 9))
    assert error.value.culprits == set(range(8))
