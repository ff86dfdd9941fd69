"""Arguments from outside, held against the types that are written for them.

A type says what may come: `Annotated[int, Meta(ge=2, le=32)]`, `Literal["iid", "site"] | None`, `tuple[str, ...]`.
msgspec decides, strictly: a truth value is no number, a number no text. NumPy's numbers and others that are none of
Python's own classes count as the Python number they are, and come out as it.
"""

import math
import sys
from collections.abc import Callable, Mapping
from functools import cache
from numbers import Integral, Real
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
from msgspec import Meta, inspect

from secagg.errors import ConfigError, OutOfRange

FINITE = sys.float_info.max
"""The `le` of a number that may not be infinite."""

Refusal = Callable[[str], Exception]
"""Makes an error of a sentence: an error's class, most often."""


def checked(name: str, value: object, kind: Any, refusal: Refusal | None = None) -> Any:
    """`value` as `kind` says, a plain Python value.

    Args:
        name: of the argument.
        value: what was given.
        kind: an annotated type. Its `Meta(title=...)` takes the place of the words for what was expected.
        refusal: makes the error; by default OutOfRange where numbers are expected, else ConfigError.

    Raises:
        OutOfRange, ConfigError, or what `refusal` makes: names the argument, its value and what was expected.
    """
    try:
        plain = _plain(value)
        found = msgspec.convert(plain, kind)
    except (ValueError, OverflowError):  # ValidationError is a ValueError, as is what some numbers of many digits meet
        pass
    else:
        if found == plain:  # msgspec makes a tuple of a list: what it has to change is not what was asked for
            return found
    make = refusal or (OutOfRange if _is_number(inspect.type_info(kind)) else ConfigError)
    raise make(f"{name} is {value!r}: expected {_words(kind)}")


def check_kind(name: str, value: object, kind: Any, words: str) -> None:
    """Raise ConfigError naming the argument unless `value` is an instance of `kind`, which is `words`."""
    if not isinstance(value, kind):
        raise ConfigError(f"{name} is {type(value).__name__}, expected {words}")


def check_fields(made: object) -> None:
    """Hold each field of a dataclass' instance against its annotation, and leave there what `checked` returns.

    For `__post_init__`, of frozen ones too. Raises as `checked` does.
    """
    made_of: Any = type(made)
    for name, kind in hints(made_of).items():
        object.__setattr__(made, name, checked(name, getattr(made, name), kind))


@cache
def hints(kind: type) -> dict[str, Any]:
    """{field: annotated type} of a dataclass, its bases' fields first."""
    return get_type_hints(kind, include_extras=True)


def whole(least: int, most: int | None = None, why: str = "") -> Any:
    """The type of an integer in a range that is known only now; `why` ends the words for it, such as " (holders)"."""
    kind = Annotated[int, Meta(ge=least, le=most)]
    return Annotated[kind, Meta(title=_words(kind) + why)] if why else kind


def choices(kind: Any) -> tuple[Any, ...]:
    """What a literal type allows, be it annotated or optional, in the order in which it stands there; else nothing."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next(filter(None, map(choices, get_args(kind))), ())


def range_of(kind: inspect.Type) -> str:
    """The range of a number, short: "2..32", "1..", "(0, 1]", "> 0"; "" where it has none, or is no number."""
    match kind:
        case inspect.Metadata():
            return range_of(kind.type)
        case inspect.UnionType():
            return next(filter(None, map(range_of, kind.types)), "")
        case inspect.IntType(ge=int(least), le=most):
            return f"{_short(least)}..{'' if most is None else _short(most)}"
        case inspect.FloatType() if kind.le == FINITE:
            return f">= {kind.ge:g}" if kind.gt is None else f"> {kind.gt:g}"
        case inspect.FloatType():
            return _interval(kind)
    return ""


def _plain(value: object) -> object:
    """A number or text of another class as Python's own, and so the values of a mapping."""
    match value:
        case Mapping():
            return {_plain(key): _plain(item) for key, item in value.items()}
        case bool() | np.bool_():
            return bool(value)
        case Integral():
            return int(value)
        case Real():
            return float(value)
        case str():
            return str(value)
    return value


def _is_number(kind: inspect.Type) -> bool:
    match kind:
        case inspect.Metadata():
            return _is_number(kind.type)
        case inspect.UnionType():
            return all(_is_number(part) for part in kind.types if not isinstance(part, inspect.NoneType))
    return isinstance(kind, inspect.IntType | inspect.FloatType)


def _words(kind: Any) -> str:
    """What is expected, in words."""
    titles = [meta.title for meta in getattr(kind, "__metadata__", ()) if isinstance(meta, Meta) and meta.title]
    bare = kind.__origin__ if get_origin(kind) is Annotated else kind
    if titles:
        return titles[0]
    if get_origin(bare) in (Union, UnionType):
        parts = [_words(part) for part in get_args(bare)]
        return (", or " if any(", " in part for part in parts) else " or ").join(parts)
    if get_origin(bare) is Literal:
        allowed = get_args(bare)
        return f"one of {', '.join(map(str, allowed))}" if len(allowed) > 1 else repr(allowed[0])
    info = inspect.type_info(kind)
    leaf = info.type if isinstance(info, inspect.Metadata) else info
    return _WORDS[type(leaf)](leaf)


_MANY = 100_000
"""Numbers that are written as powers, where they are, begin here."""


def _words_of_integer(kind: inspect.IntType) -> str:
    noun = "an even number" if kind.multiple_of == 2 else "an integer"
    if kind.ge is None:
        return noun
    return f"{noun}, {_short(kind.ge)} or more" if kind.le is None else f"{noun} in {range_of(kind)}"


def _words_of_float(kind: inspect.FloatType) -> str:
    if kind.le == FINITE:
        return f"a finite number, {kind.ge:g} or more" if kind.gt is None else f"a finite number above {kind.gt:g}"
    return f"a number in {_interval(kind)}" if _interval(kind) else "a number"


def _interval(kind: inspect.FloatType) -> str:
    """As in mathematics: "(0, 1]"; "" without both ends."""
    least, most = (kind.ge, kind.le) if kind.gt is None else (kind.gt, kind.le)
    most = kind.lt if most is None else most
    if least is None or most is None:
        return ""
    return f"{'[' if kind.gt is None else '('}{least:g}, {most:g}{')' if kind.le is None else ']'}"


def _short(number: int) -> str:
    """Digits, or a power where they would be many: "2**36", "2**63 - 1", "10**9"."""
    size = abs(number)
    if size < _MANY:
        return str(number)
    sign = "-" if number < 0 else ""
    for base in (2, 10):
        for less in (0, 1):
            power = round(math.log(size + less, base))
            if base**power == size + less:
                return f"{sign}{base}**{power}{' - 1' if less else ''}"
    return str(number)


_WORDS: dict[type[inspect.Type], Callable[[Any], str]] = {
    inspect.IntType: _words_of_integer,
    inspect.FloatType: _words_of_float,
    inspect.StrType: lambda _: "a text",
    inspect.BoolType: lambda _: "True or False",
    inspect.NoneType: lambda _: "None",
    inspect.VarTupleType: lambda _: "a tuple of texts",
}
