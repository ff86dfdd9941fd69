"""What the engine promised to reach, and whether it was measured to: the promises of `targets.toml`."""

from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, StrictUndefined, UndefinedError

from bench.results import Found, duration

Verdict = tuple[str, bool | None]
"""A measured figure, for people, and whether it suffices: None where this machine cannot tell."""
PAGES = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
PAGES.filters["duration"] = duration


class NotMeasured(LookupError):
    """The results lack a row."""


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A promise; the fields are explained in `targets.toml`."""

    name: str
    what: str
    command: str
    to: int | float | dict[str, int | float]
    value: str
    reach: str
    shown: str
    met: str
    elsewhere: str = "false"
    let: dict[str, str] = {}

    @property
    def promise(self) -> str:
        """The bound, for people."""
        return PAGES.from_string(self.reach).render(to=self.to)

    def judge(self, found: Found) -> Verdict:
        """What was measured. Raises NotMeasured."""
        known = {**found, **_named(found), "to": self.to}
        steps = {**self.let, "value": self.value, "met": self.met, "elsewhere": self.elsewhere}
        try:
            for name, expression in steps.items():
                known[name] = PAGES.compile_expression(expression, undefined_to_none=False)(**known)
            shown = PAGES.from_string(self.shown).render(known)
        except UndefinedError as missing:
            raise NotMeasured(str(missing)) from None
        return shown, None if known["elsewhere"] else known["met"]


def _named(found: Found) -> dict[str, Any]:
    """The rows that targets name, as far as they were measured, and the machine's features."""
    named: dict[str, Any] = {}
    for results in found.values():
        named["features"] = results.machine.features
        for name, case in _FILE["rows"].items():
            selected = {"path": results.machine.kernel} if case.get("path") == "selected" else {}
            for row in results.all(**case | selected)[:1]:
                named[name] = row
    return named


_FILE = msgspec.toml.decode(Path(__file__).with_name("targets.toml").read_bytes())
TARGETS = {one["name"]: msgspec.convert(_FILE["kinds"][one.pop("kind")] | one, Target) for one in _FILE["targets"]}
"""{its name: a promise}."""
