"""What cannot be summed is refused before the first message, in an error of ours that names party, place and range."""

import datetime as dt
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import secagg
from secagg import Policy, SecaggError
from secagg.encoding.layout import MAX_LEAVES
from secagg.errors import (
    BadCohort,
    BadDtype,
    BadWeight,
    ConfigError,
    InputError,
    NotFinite,
    OutOfRange,
    OutOfRing,
    PolicyRefused,
    ShapeMismatch,
    UnknownParty,
    UnknownPhase,
)
from secagg_protocols import PairwiseMasking

SCHEME = PairwiseMasking()
GOOD = np.zeros(3)


class Hostile:
    """An object that claims to be an array."""

    def __array__(self, *args, **kwargs):
        raise KeyError("no array after all")


def refused(error, words, **call):
    """The call raises exactly `error`, its message holds all `words`, and no NumPy error passes through."""
    with pytest.raises(SecaggError) as caught:
        secagg.aggregate(**({"updates": dict.fromkeys("abc", GOOD), "scheme": SCHEME} | call))
    assert type(caught.value) is error, repr(caught.value)
    for word in words:
        assert re.search(word, str(caught.value)), str(caught.value)
    return caught.value


ODD = {
    "object": (object(), "update: object"),
    "None": (None, "update: NoneType"),
    "str": ("abc", "update: entries are str"),
    "bytes": (b"abc", "update: entries are bytes"),
    "complex": (np.ones(3) * 1j, "update: entries are complex128"),
    "plain complex": (1j, "update: entries are complex128"),
    "datetime64": (np.array(["2020-01-01"], "M8[D]"), "update: entries are datetime64"),
    "timedelta64": (np.array([1], "m8[s]"), "update: entries are timedelta64"),
    "datetime": (dt.date(2020, 1, 1), "update: date"),
    "structured": (np.zeros(3, [("x", "f4")]), "update: entries are void"),
    "objects": (np.array([1.0, None, "x"], object), "update: entries are object"),
    "numbers as objects": (np.array([1.0, 2.0, 3.0], object), "update: entries are object"),
    "ragged": (np.array([[1.0, 2.0], [3.0]], object), "update: entries are object"),
    "int of 65 bits": (2**64, "update: an int of 65 bits, expected .* at most 64 bits"),
    "negative huge int": (-(2**80), "update: an int of 81 bits"),
    "generator": ((x for x in range(3)), "update: generator"),
    "set": ({1.0, 2.0}, "update: set"),
    "class": (int, "update: type"),
    "function": (len, "update: builtin_function"),
    "Decimal": (Decimal(1), "update: Decimal"),
    "Fraction": (Fraction(1, 2), "update: Fraction"),
    "hostile": (Hostile(), "update: Hostile is not an array of numbers"),
    "masked": (np.ma.array([1.0, 2, 3], mask=[False, True, False]), "update: some entries are masked out"),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("party", ["a", "b"], ids=["first", "second"])
def test_what_is_no_array_of_numbers(name, party):
    value, words = ODD[name]
    error = refused(
        BadDtype,
        [f"^party '{party}': {words}", "expected"] if name != "hostile" else [words],
        updates={"a": GOOD, "b": GOOD, "c": GOOD} | {party: value},
    )
    assert error.party == party


@pytest.mark.parametrize("name", ODD)
def test_it_is_named_deep_inside_an_update_too(name):
    value, words = ODD[name]
    good = {"w": [GOOD, 1.0]}
    refused(BadDtype, ["^party 'c': " + words.replace("update", r"update\['w'\]\[1\]")],
            updates={"a": good, "b": good, "c": {"w": [GOOD, value]}})  # fmt: skip


MISMATCHED = {
    "shape": (np.zeros(4), GOOD, r"update: shape \(4,\), expected \(3,\)"),
    "rank": (np.zeros((3, 1)), GOOD, r"update: shape \(3, 1\), expected \(3,\)"),
    "number": (0.0, GOOD, r"update: shape \(\), expected \(3,\)"),
    "empty": (np.zeros(0), GOOD, r"update: shape \(0,\), expected \(3,\)"),
    "list for array": ([0.0, 0.0, 0.0], GOOD, r"update: a list of 3, expected an array of shape \(3,\)"),
    "array for list": (GOOD, [0.0, 0.0], r"update: ndarray, expected a list of 2"),
    "dict for array": ({"w": GOOD}, GOOD, r"update: a dict with keys \['w'\], expected an array"),
    "array for dict": (GOOD, {"w": GOOD}, r"update: ndarray, expected a dict with keys \['w'\]"),
    "longer list": ([0.0, 0.0, 0.0], [0.0, 0.0], r"update: a list of 3, expected a list of 2"),
    "ragged list": ([[0.0], [0.0]], [[0.0, 0.0], [0.0]], r"update\[0\]: a list of 1, expected a list of 2"),
    "key": ({"v": GOOD}, {"w": GOOD}, r"update: a dict with keys \['v'\], expected a dict with keys \['w'\]"),
    "key less": ({}, {"w": GOOD}, r"update: a dict with keys \[\], expected a dict with keys \['w'\]"),
    "inner": ({"w": np.zeros(2)}, {"w": GOOD}, r"update\['w'\]: shape \(2,\), expected \(3,\)"),
    "integers": (np.zeros(3, int), GOOD, r"update: entries are int64, expected float64"),
    "floats": (GOOD, np.zeros(3, int), r"update: entries are float64, expected int64"),
    "bools": (np.zeros(3, bool), GOOD, r"update: entries are bool, expected float64"),
}


@pytest.mark.parametrize("name", MISMATCHED)
def test_updates_of_two_structures(name):
    value, good, words = MISMATCHED[name]
    error = refused(ShapeMismatch, [f"^party 'b': {words}"], updates={"a": good, "b": value, "c": good})
    assert error.party == "b"


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8", "g"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("party", ["a", "b"], ids=["first", "second"])
def test_nan_and_infinity(dtype, value, party):
    bad = np.zeros((2, 3), dtype)
    bad[1, 2] = value
    updates = dict.fromkeys("abc", np.zeros((2, 3), dtype)) | {party: np.asfortranarray(bad)}
    error = refused(NotFinite, [rf"^party '{party}': update\[1, 2\] is {value}, expected a finite number"],
                    updates=updates)  # fmt: skip
    assert error.party == party


@pytest.mark.parametrize("value", [float("nan"), np.float16("inf")], ids=str)
def test_a_number_that_is_not_finite(value):
    refused(NotFinite, [rf"^party 2: update\['w'\]\[0\] is {value}"], updates={1: {"w": [0.0]}, 2: {"w": [value]}})


@pytest.mark.parametrize(
    ("value", "bits"), [(-1, 16), (2**16, 16), (2, 1), (2**32, 32), (-(2**63), 32), (2**64 - 1, 32)]
)
def test_integers_outside_the_ring(value, bits):
    words = [rf"^party 'c': update\[0\] is {value}", rf"must lie in 0..{2**bits - 1} \(bits={bits}\)"]
    refused(OutOfRing, words, updates={"a": [0], "b": [1], "c": [value]}, bits=bits)


WEIGHTS = {
    "zero": (0, r"weight is 0: expected an integer in 1..10"),
    "negative": (-3, r"weight is -3: expected an integer in 1..10"),
    "too large": (11, r"weight is 11: expected an integer in 1..10 \(weight_min, weight_max\)"),
    "huge": (2**70, r"weight is 1180591620717411303424: expected an integer in 1..10"),
    "NaN": (float("nan"), r"weight is nan: expected an integer in 1..10"),
    "infinite": (float("inf"), r"weight is inf: expected an integer"),
    "fractional": (1.5, r"weight is 1.5: expected an integer"),
    "whole float": (2.0, r"weight is 2.0: expected an integer"),
    "NumPy float": (np.float32(2), r"weight is np.float32\(2.0\): expected an integer"),
    "bool": (True, r"weight is True: expected an integer"),
    "NumPy bool": (np.True_, r"weight is np.True_: expected an integer"),
    "text": ("2", r"weight is '2': expected an integer"),
    "none": (None, r"weight is None: expected an integer"),
    "list": ([2], r"weight is \[2\]: expected an integer"),
    "array": (np.array([2, 3]), r"weight is array\(\[2, 3\]\): expected an integer"),
    "complex": (1j, r"weight is 1j: expected an integer"),
}


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("party", ["a", "b"], ids=["first", "second"])
def test_weights_that_are_none(name, party):
    weight, words = WEIGHTS[name]
    weights = {"a": 1, "b": 1, "c": 1} | {party: weight}
    error = refused(BadWeight, [f"^party '{party}': {words}"], weights=weights, weight_max=10)
    assert error.party == party


def test_a_missing_weight():
    words = ["^party 'b': no weight given, and the others have one"]
    assert refused(BadWeight, words, weights={"a": 1, "c": 1}, weight_max=5).party == "b"
    assert refused(BadWeight, ["^party 'a': no weight"], weights={}, weight_max=5).party == "a"


COHORTS = [
    ({}, BadCohort, "0 parties: expected 2 or more"),
    ({"a": GOOD}, BadCohort, "1 party: expected 2 to"),
    ({"a": GOOD, None: GOOD}, BadCohort, "party id None is NoneType, expected int or str"),
    ({"a": GOOD, 1.5: GOOD}, BadCohort, "party id 1.5 is float, expected int or str"),
    ({"a": GOOD, True: GOOD}, BadCohort, "party id True is bool"),
    ({"a": GOOD, b"b": GOOD}, BadCohort, "party id b'b' is bytes"),
    ({"a": GOOD, ("b", 1): GOOD}, BadCohort, r"party id \('b', 1\) is tuple"),
    ({"a": GOOD, "": GOOD}, BadCohort, "party id of 0 characters: expected 1..256"),
    ({"a": GOOD, 2**63: GOOD}, BadCohort, "party id 9223372036854775808: expected a 64-bit integer"),
    ({"a": GOOD, "\udc00": GOOD}, BadCohort, "is no valid Unicode text"),
    ({"a": GOOD, "b": GOOD}, PolicyRefused, "a sum over 2 parties: .* at least 3"),
    ([GOOD] * 3, ConfigError, "updates is list, expected a dict {party: update}"),
    (np.zeros((3, 3)), ConfigError, "updates is ndarray, expected a dict"),
    ((GOOD for _ in range(3)), ConfigError, "updates is generator, expected a dict"),
    (None, ConfigError, "updates is NoneType, expected a dict"),
]


@pytest.mark.parametrize(("updates", "error", "words"), COHORTS, ids=range(len(COHORTS)))
def test_cohorts_that_cannot_work(updates, error, words):
    refused(error, [words], updates=updates)


CONFIGURATIONS = [
    ({"bits": 0}, OutOfRange, r"bits is 0: expected 2..32"),
    ({"bits": 1}, OutOfRange, r"bits is 1: expected 2..32"),
    ({"bits": 33}, OutOfRange, r"bits is 33: expected 2..32"),
    ({"bits": -16}, OutOfRange, r"bits is -16: expected 2..32"),
    ({"bits": 2**70}, OutOfRange, r"bits is 1180591620717411303424: expected 2..32"),
    ({"bits": 16.0}, OutOfRange, r"bits is 16.0: expected an integer"),
    ({"bits": float("nan")}, OutOfRange, r"bits is nan: expected an integer"),
    ({"bits": "16"}, OutOfRange, r"bits is '16': expected an integer"),
    ({"bits": None}, OutOfRange, r"bits is None: expected an integer"),
    ({"bits": True}, OutOfRange, r"bits is True: expected an integer"),
    ({"clip": 0}, OutOfRange, r"clip is 0.0: expected a positive, finite number"),
    ({"clip": -1.0}, OutOfRange, r"clip is -1.0: expected a positive, finite number"),
    ({"clip": float("nan")}, OutOfRange, r"clip is nan: expected a positive, finite number"),
    ({"clip": float("inf")}, OutOfRange, r"clip is inf: expected a positive, finite number"),
    ({"clip": 1e300}, OutOfRange, r"clip is 1e\+300: expected a positive, finite number \(1e-280..1e\+280\)"),
    ({"clip": 1e-300}, OutOfRange, r"clip is 1e-300: expected"),
    ({"clip": np.longdouble(2) ** 5000}, OutOfRange, r"clip is (inf|1.79\d+e\+308): expected"),
    ({"clip": True}, OutOfRange, r"clip is bool: expected positive, finite numbers"),
    ({"clip": np.array([1.0, 0.0, 1.0])}, OutOfRange, r"clip\[1\] is 0.0: expected"),
    ({"clip": np.ones(4)}, ConfigError, r"clip: shape \(4,\), expected \(3,\)"),
    ({"clip": [1.0, 1.0, 1.0]}, ConfigError, r"clip: a list of 3, expected an array of shape \(3,\)"),
    ({"clip": {"w": 1.0}}, ConfigError, r"clip: a dict with keys \['w'\], expected an array"),
    ({"clip": "1"}, ConfigError, r"clip: entries are str"),
    ({"clip": None}, ConfigError, r"clip: NoneType, expected"),
    ({"clip": 1j}, ConfigError, r"clip: entries are complex128"),
    ({"clip": np.complex128(1)}, ConfigError, r"clip: entries are complex128"),
    ({"clip": 10**400}, ConfigError, r"clip: an int of 1329 bits"),
    ({"clip": Decimal(1)}, ConfigError, r"clip: Decimal, expected"),
    ({"weight_max": 5}, ConfigError, r"weight_max without weights: give each party's weight"),
    ({"weights": {"a": 1, "b": 1, "c": 1}}, ConfigError, r"weights without weight_max: give a bound"),
    ({"weights": [1, 1, 1], "weight_max": 5}, ConfigError, r"weights is list, expected a dict {party: weight} or None"),
    ({"weights": 1, "weight_max": 5}, ConfigError, r"weights is int, expected a dict"),
    ({"weights": dict.fromkeys("abcd", 1), "weight_max": 5}, UnknownParty, r"weights name party 'd', which has no"),
    *(
        ({"weights": dict.fromkeys("abc", 1), "weight_max": value}, OutOfRange, rf"weight_max is {words}")
        for value, words in [
            (0, r"0: expected 1..2\*\*48"),
            (-1, r"-1: expected 1..2\*\*48"),
            (2**48 + 1, r"281474976710657: expected 1..2\*\*48"),
            (10.0, r"10.0: expected an integer"),
            (float("nan"), r"nan: expected an integer"),
            ("10", r"'10': expected an integer"),
            (True, r"True: expected an integer"),
        ]
    ),
    ({"rounding": "up"}, OutOfRange, r"rounding is 'up': expected 'nearest' or 'stochastic'"),
    ({"weight_min": 2}, ConfigError, r"weight_min is 2 and weight_max is None"),
    ({"rounding": ["nearest"]}, OutOfRange, r"rounding is \['nearest'\]: expected"),
    ({"lost": {"d": "keys"}}, UnknownParty, r"'d' is not among the session's 3 parties"),
    ({"lost": {None: "keys"}}, BadCohort, r"party id None is NoneType"),
    (
        {"lost": {"a": "mask"}},
        UnknownPhase,
        r"party 'a' lost at 'mask': .* has the phases keys, shares, masked, unmask",
    ),
    ({"lost": {"a": 2}}, UnknownPhase, r"party 'a' lost at 2"),
    ({"lost": {"a": None}}, UnknownPhase, r"party 'a' lost at None"),
    ({"lost": {"a": ["keys"]}}, UnknownPhase, r"party 'a' lost at \['keys'\]"),
    ({"lost": ["a"]}, ConfigError, r"lost is list, expected a dict {party: phase} or None"),
    ({"lost": "a"}, ConfigError, r"lost is str, expected a dict"),
    ({"scheme": None}, ConfigError, r"scheme is NoneType, expected a Scheme, such as PairwiseMasking\(\)"),
    ({"scheme": PairwiseMasking}, ConfigError, r"scheme is ABCMeta, expected a Scheme"),
    ({"scheme": "secagg"}, ConfigError, r"scheme is str, expected a Scheme"),
    ({"scheme": PairwiseMasking(threshold=4)}, OutOfRange, r"threshold is 4: expected 2..3"),
    ({"policy": 3}, ConfigError, r"policy is int, expected a Policy or None"),
    ({"policy": Policy(max_dim=3)}, PolicyRefused, r"session of 5 entries: this party's policy allows 3"),
    ({"context": "round 1"}, ConfigError, r"context is str, expected bytes"),
    ({"context": 7}, ConfigError, r"context is int, expected bytes"),
    ({"context": None}, ConfigError, r"context is NoneType, expected bytes"),
    ({"context": bytes(1025)}, OutOfRange, r"context of 1025 bytes: expected at most 1024"),
    ({"entropy": lambda n: bytes(n - 1)}, ConfigError, r"entropy\(16\) must return 16 bytes"),
]


@pytest.mark.parametrize(("call", "error", "words"), CONFIGURATIONS, ids=range(len(CONFIGURATIONS)))
def test_configurations_that_cannot_work(call, error, words):
    refused(error, [words], **call)


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({1.5: GOOD}, r"update: key is 1.5: expected a text or a 64-bit integer"),
        ({None: GOOD}, r"update: key is None: expected a text"),
        ({2**70: GOOD}, r"update: key is 1180591620717411303424: expected a text or a 64-bit integer"),
        ({"\ud800": GOOD}, r"is no valid Unicode text"),
        ({("a", 1): GOOD}, r"update: key is \('a', 1\): expected a text"),
        (np.zeros((0, 2**40)), None),
    ],
)
def test_structures_that_cannot_travel(update, words):
    if words is None:
        assert secagg.aggregate(dict.fromkeys("abc", update), SCHEME).mean.shape == update.shape
    else:
        refused(ConfigError, [words], updates=dict.fromkeys("abc", update))


def test_a_structure_that_no_client_could_read():
    """What stops a client that gets the session stops the one process too."""
    many = [0.1] * (MAX_LEAVES + 1)
    words = ["update: 65537 entries, expected at most 65536: give an array in place of many numbers"]
    refused(ConfigError, words, updates=dict.fromkeys("abc", many))
    refused(ConfigError, ["update: 65537 arrays and numbers"], updates=dict.fromkeys("abc", (many[1:], 0.1)))


def test_an_endless_update():
    endless = []
    endless.append(endless)
    refused(ConfigError, ["nested more than 32 deep"], updates=dict.fromkeys("abc", endless))
    refused(
        ShapeMismatch, ["party 'b'", "a list of 1, expected an array"], updates={"a": [0.0], "b": endless, "c": [0.0]}
    )


def test_nothing_is_sent_before_all_input_is_checked():
    """The last party's NaN shows before the first party draws a key: entropy is asked for the session's id alone."""
    drawn = []

    def entropy(n):
        drawn.append(n)
        return bytes(n)

    refused(NotFinite, ["party 'c'"], updates={"a": GOOD, "b": GOOD, "c": GOOD * np.nan}, entropy=entropy)
    assert drawn == [16]


@pytest.mark.parametrize("error", [NotFinite, ShapeMismatch, BadDtype, OutOfRing, BadWeight])
def test_input_errors_are_value_errors_that_name_the_party(error):
    assert issubclass(error, InputError)
    assert issubclass(error, ValueError)
    assert (str(error("why")), error("why").party) == ("why", None)
    assert (str(error("why").of(3)), error("why").of(3).party, type(error("why").of(3))) == ("party 3: why", 3, error)
