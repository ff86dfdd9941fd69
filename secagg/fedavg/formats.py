"""How the terminal and the page write numbers and names.

Hospitals' and columns' names come from strangers' files: `printable` takes out of them what could move a
cursor, reverse a line or break a page's markup; escaping for HTML is the template's own duty.
"""

import unicodedata

DASH = "\N{EN DASH}"
"""Stands for what is not there."""
TIMES = "\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}"

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def printable(text: str) -> str:
    """`text` with every control, format and unassigned character shown as U+FFFD."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _moves(c) else c for c in text)


def _moves(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] == "C" or category in {"Zl", "Zp"}


def counted(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: "1 round", "20 rounds"; `many` where the plural is not `one` + "s"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share in 0..1 as a number of per cent, without the sign: "97.2"; None is a dash."""
    return DASH if share is None else f"{100 * share:.{digits}f}"


def decimals(number: float | None, digits: int) -> str:
    """A number with a fixed count of decimals, so that columns align; None is a dash."""
    return DASH if number is None else f"{number:.{digits}f}"


def bytes_text(count: float) -> str:
    """A number of bytes in SI units and three digits: "512 B", "12.3 kB", "1.40 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} B" if unit == "B" else f"{_three(count)} {unit}"
        count /= 1000
    return f"{_three(count)} TB"


def seconds_text(seconds: float) -> str:
    """A duration in the unit that suits it: "85.0 µs", "1.20 ms", "3.40 s", "2 min 05 s"."""
    if seconds == 0:
        return "0 s"
    if seconds < 0.9995e-3:
        return f"{_three(seconds * 1e6)} µs"
    if seconds < 0.9995:
        return f"{_three(seconds * 1e3)} ms"
    if seconds < 99.5:
        return f"{_three(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def _three(number: float) -> str:
    digits = 2 if number < 9.995 else 1 if number < 99.95 else 0
    return f"{number:.{digits}f}"


def power(number: float | None) -> str:
    """Two digits and a power of ten, as printed: "2.1 × 10⁻⁶", which never breaks; None is a dash."""
    if number is None:
        return DASH
    if number == 0:
        return "0"
    mantissa, exponent = f"{number:.1e}".split("e")
    return f"{mantissa}{TIMES}10{str(int(exponent)).translate(_SUPERSCRIPT)}"
