"""A party's own limits hold whatever the server says, and before anything is allocated."""

import tracemalloc

import numpy as np
import pytest

from secagg import Participant, Policy, Session
from secagg.errors import ConfigError, OutOfRange, PolicyRefused, TooFew
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
    """Five entries, and two that count the clipped and who abstains."""
    Policy(max_dim=7).check_session(session(dim=5))
    with pytest.raises(PolicyRefused, match="session of 7 entries: this party's policy allows 6"):
        Policy(max_dim=6).check_session(session(dim=5))


LIKE = {"encoder": {"w": np.zeros(2), "b": 0.0}, "head": [np.zeros(2, "f4"), 0], "1": 0.0}


def of_format(like=LIKE, **options):
    return Session.create(range(3), like, **options)


@pytest.mark.parametrize(
    ("policy", "options", "message"),
    [
        ({}, {"clip": 1e-9}, r"clip of update\['encoder'\]\['w'\] is 1e-09: this party's policy allows 0.0001..10000"),
        ({}, {"clip": 2e4}, r"is 20000: .* \(Policy.clip\)"),
        ({"clip": (0.5, 2.0)}, {"clip": 0.4}, "is 0.4: this party's policy allows 0.5..2"),
        ({"clip": {"head": (2, 3)}}, {}, r"clip of update\['head'\]\[0\] is 1: this party's policy allows 2..3"),
        ({"clip": {"head/0": (2, 3)}}, {}, r"clip of update\['head'\]\[0\] is 1"),
        ({"clip": {"encoder/w": (1, 1), "encoder": (2, 3)}}, {}, r"clip of update\['encoder'\]\['b'\] is 1"),
        ({"clip": {"encoder": (1, 1), "*": (2, 3)}}, {}, r"clip of update\['head'\]\[0\] is 1"),
        ({"clip": {"1": (2, 3)}}, {}, r"clip of update\['1'\] is 1"),
        ({"bits": (8, 20)}, {"bits": 7}, "bits is 7: this party's policy allows 8..20"),
        ({"bits": (8, 20)}, {"bits": 21}, "bits is 21"),
        ({}, {"weight_max": 1000, "weight_min": 9}, "weights 9..1000: this party's policy allows a ratio of 100"),
        ({"weight_ratio": 7}, {"weight_max": 15, "weight_min": 2}, "allows a ratio of 7"),
        ({}, {"weight_max": 1000, "bits": 8}, "weights 10..1000 leave the lightest party 1 levels: .* asks for 16"),
        ({}, {"weight_max": 64, "weight_min": 1, "bits": 10}, "leave the lightest party 7 levels"),
        ({"weights": (5, 60)}, {"weight_max": 59}, r"weights 1..59: this party declares others \(Policy.weights\)"),
        ({"weights": (5, 60)}, {"weight_max": 100, "weight_min": 6}, "weights 6..100: this party declares"),
    ],
)
def test_a_number_format_in_which_one_party_could_stand_out_is_refused(policy, options, message):
    with pytest.raises(PolicyRefused, match=message):
        Policy(**policy).check_session(of_format(**options))
    with pytest.raises(PolicyRefused, match=message):
        Participant(PairwiseMasking(), of_format(**options), 0, policy=Policy(**policy))


def test_entries_each_have_their_clip():
    with pytest.raises(PolicyRefused, match=r"clip of update is 1e-09\.\.1"):
        Policy().check_session(of_format(np.zeros(2), clip=np.array([1.0, 1e-9])))


@pytest.mark.parametrize(
    ("policy", "like", "options"),
    [
        ({}, LIKE, {}),
        ({}, LIKE, {"weight_max": 1000}),
        ({}, LIKE, {"weight_max": 7, "weight_min": 1, "bits": 8}),
        ({"levels": 1, "weight_ratio": 127}, LIKE, {"weight_max": 127, "weight_min": 1, "bits": 8}),
        ({"weights": (5, 60)}, LIKE, {"weight_max": 60, "weight_min": 5}),
        ({"bits": (8, 32), "clip": (0.5, 2)}, {"n": 0, "m": np.zeros(3, bool)}, {"bits": 1}),
        ({"bits": (8, 32)}, np.zeros(0), {"bits": 2}),
        ({}, {"n": 0}, {"bits": 1, "weight_max": 50, "weight_min": 1}),
    ],
)
def test_number_formats_that_are_fine(policy, like, options):
    """Of integers neither bits nor levels are looked at: nothing of them is rounded."""
    Policy(**policy).check_session(of_format(like, **options))


@pytest.mark.parametrize("weights", [None, (3, 9)])
@pytest.mark.parametrize("weight", [1, 3, np.int64(5), 9, 10, 2**70])
def test_a_weight_counts_as_the_nearer_end_of_the_party_s_own_range(weights, weight):
    assert Policy(weights=weights).clamped(weight) == (weight if weights is None else min(max(weight, 3), 9))


@pytest.mark.parametrize("weight", [None, "5", 1.5, True, np.array([1, 2])])
def test_what_is_no_weight_is_none_in_a_range_either(weight):
    assert Policy(weights=(3, 9)).clamped(weight) is weight


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"clip": (2.0, 1.0)}, r"clip is \(2.0, 1.0\): expected \(least, most\)"),
        ({"clip": (0.0, 1.0)}, "clip.* expected .* 0 < least"),
        ({"clip": (float("nan"), 1.0)}, "clip"),
        ({"clip": {"w": (2, 1)}}, r"clip\['w'\]"),
        ({"clip": 3.0}, "clip is 3.0: expected a tuple of the least and the most or {name: a tuple"),
        ({"clip": {"w": 1.0}}, "clip is"),
        ({"bits": (9, 8)}, r"bits is \(9, 8\)"),
        ({"bits": 8}, "bits is 8: expected a tuple of the least and the most, integers"),
        ({"weights": (0, 8)}, r"weights is \(0, 8\)"),
        ({"weights": (1.5, 8)}, "weights is"),
        ({"weight_ratio": 0}, "weight_ratio is 0"),
        ({"levels": "16"}, "levels is '16'"),
    ],
)
def test_ranges_that_are_none(how, message):
    with pytest.raises((OutOfRange, ConfigError), match=message):
        Policy(**how)


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
