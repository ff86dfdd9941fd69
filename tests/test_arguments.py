"""One checker for what comes from outside: it takes numbers as the numbers they are, and says what it expected."""

import math
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, inspect

from secagg.arguments import FINITE, check_fields, checked, choices, range_of, whole
from secagg.errors import BadCohort, ConfigError, OutOfRange

Count = Annotated[int, Meta(ge=1)]
Bits = Annotated[int, Meta(ge=2, le=32)]
Even = Annotated[int, Meta(ge=2, multiple_of=2)]
Share = Annotated[float, Meta(gt=0, le=1)]
Step = Annotated[float, Meta(gt=0, le=FINITE)]


class Three(IntEnum):
    THREE = 3


class Word(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "kind", "plain"),
    [
        (3, Count, 3),
        (np.int64(3), Count, 3),
        (np.uint8(3), Count, 3),
        (Three.THREE, Count, 3),
        (2**200, Count, 2**200),
        (1, Share, 1.0),
        (np.float32(0.5), Share, 0.5),
        (Fraction(1, 4), Share, 0.25),
        (Word("a"), str, "a"),
        (np.str_("a"), Literal["a", "b"], "a"),
        (np.True_, bool, True),
        (None, Even | None, None),
        (4, Even | None, 4),
        (("a", "b"), tuple[str, ...], ("a", "b")),
        (math.inf, float, math.inf),
    ],
)
def test_what_fits_comes_out_as_python_s_own(value: object, kind: Any, plain: object) -> None:
    found = checked("it", value, kind)
    assert found == plain
    assert type(found) is type(plain)


@pytest.mark.parametrize(
    ("value", "kind", "error", "expected"),
    [
        (0, Count, OutOfRange, "an integer, 1 or more"),
        (True, Count, OutOfRange, "an integer, 1 or more"),
        (np.False_, Count, OutOfRange, "an integer, 1 or more"),
        (3.0, Count, OutOfRange, "an integer, 1 or more"),
        ("3", Count, OutOfRange, "an integer, 1 or more"),
        (None, Count, OutOfRange, "an integer, 1 or more"),
        (np.ones(3), Count, OutOfRange, "an integer, 1 or more"),
        (33, Bits, OutOfRange, "an integer in 2..32"),
        (3, Even | None, OutOfRange, "an even number, 2 or more, or None"),
        (5, whole(1, 4, " (holders)") | None, OutOfRange, "an integer in 1..4 (holders) or None"),
        (0, whole(1, 2**36), OutOfRange, "an integer in 1..2**36"),
        (-1, whole(0, 2**63 - 1), OutOfRange, "an integer in 0..2**63 - 1"),
        (2, whole(3, 10**9), OutOfRange, "an integer in 3..10**9"),
        (0, Share, OutOfRange, "a number in (0, 1]"),
        (math.nan, Share, OutOfRange, "a number in (0, 1]"),
        (10**400, Share, OutOfRange, "a number in (0, 1]"),
        (Fraction(10**400), Share, OutOfRange, "a number in (0, 1]"),
        (1j, Share, OutOfRange, "a number in (0, 1]"),
        (math.inf, Step, OutOfRange, "a finite number above 0"),
        (math.nan, float, OutOfRange, "a number"),
        (-1, Annotated[float, Meta(ge=0, le=FINITE)], OutOfRange, "a finite number, 0 or more"),
        (2, Annotated[float, Meta(ge=0, le=1, title="odds")], OutOfRange, "odds"),
        (1, str | None, ConfigError, "a text or None"),
        (1, bool, ConfigError, "True or False"),
        ("c", Literal["b", "a"], ConfigError, "one of b, a"),
        ([], Literal["b", "a"] | None, ConfigError, "one of b, a, or None"),
        ("c", Literal["a"], ConfigError, "'a'"),
        (["a"], tuple[str, ...], ConfigError, "a tuple of texts"),
        ("a", tuple[str, ...], ConfigError, "a tuple of texts"),
    ],
)
def test_what_does_not_fit_is_named_with_its_value(
    value: object, kind: Any, error: type[Exception], expected: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        checked("it", value, kind)
    assert type(refused.value) is error
    assert str(refused.value) == f"it is {value!r}: expected {expected}"


def test_the_caller_may_choose_the_error() -> None:
    with pytest.raises(BadCohort, match=r"^n is 0: expected an integer, 1 or more$"):
        checked("n", 0, Count, BadCohort)


@given(st.integers(), st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_a_range_holds_both_ends(number: int, one: int, other: int) -> None:
    least, most = sorted((one, other))
    if least <= number <= most:
        assert checked("it", number, whole(least, most)) == number
    else:
        with pytest.raises(OutOfRange):
            checked("it", number, whole(least, most))


@dataclass(frozen=True)
class Options:
    """Some of each kind."""

    rounds: Count
    name: str | None = None
    how: Literal["fast", "slow"] = "slow"

    def __post_init__(self) -> None:
        check_fields(self)


def test_fields_are_held_against_their_annotations() -> None:
    made = Options(np.int32(7), Word("a"))  # type: ignore[arg-type]
    assert (type(made.rounds), type(made.name)) == (int, str)
    with pytest.raises(OutOfRange, match=r"^rounds is 0"):
        Options(0)
    with pytest.raises(ConfigError, match=r"^how is 'so': expected one of fast, slow$"):
        Options(1, how="so")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Count, "1.."),
        (Bits | None, "2..32"),
        (Share, "(0, 1]"),
        (Annotated[float, Meta(ge=0, lt=1)], "[0, 1)"),
        (Step, "> 0"),
        (Annotated[float, Meta(ge=0, le=FINITE, description="x")], ">= 0"),
        (int, ""),
        (float, ""),
        (str, ""),
    ],
)
def test_a_range_in_short(kind: Any, text: str) -> None:
    assert range_of(inspect.type_info(kind)) == text


def test_choices_keep_their_order() -> None:
    assert choices(Annotated[Literal["b", "a"] | None, Meta(description="x")]) == ("b", "a")
    assert choices(Bits | None) == ()
