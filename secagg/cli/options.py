"""A command's options, made of the fields of what it needs: each is written once, in its field's annotation.

A field's `Meta` has the option's range and its help (`description`). Its `extra` may name the "panel" of the help where
it stands, another name for the "option", the placeholder of an "argument" (which is no option), and the "choices" of a
text.
"""

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any

import click
import typer
from msgspec import inspect

from secagg.arguments import choices, hints, range_of

Command = Callable[..., None]

_CLASSES: dict[type[inspect.Type], Any] = {
    inspect.IntType: int,
    inspect.FloatType: float,
    inspect.BoolType: bool,
    inspect.StrType: str,
    inspect.LiteralType: str,
    inspect.VarTupleType: list[str],
}
"""What typer reads a value as."""
_NUMBERS = {inspect.IntType: "INTEGER", inspect.FloatType: "FLOAT"}


def from_fields(*panels: str) -> Callable[[Command], Command]:
    """Decorates a command: each of its parameters that is a dataclass becomes an option for each field.

    The command gets the instance, made of what was given. In the help, options stand in the order of `panels`.
    """

    def decorate(command: Command) -> Command:
        taken = signature(command).parameters.values()
        kinds: dict[str, Any] = {each.name: each.annotation for each in taken if is_dataclass(each.annotation)}

        @wraps(command)
        def call(**given: Any) -> None:
            made = {name: _made(kind, given) for name, kind in kinds.items()}
            command(**made, **given)

        options = [option for kind in kinds.values() for option in _options(kind)]
        options.sort(key=lambda option: panels.index(option.panel) if option.panel in panels else 0)
        parameters = [option.parameter for option in options]
        parameters += [each.replace(kind=Parameter.KEYWORD_ONLY) for each in taken if each.name not in kinds]
        call.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # which typer reads
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return call

    return decorate


def _made(kind: Any, given: dict[str, Any]) -> Any:
    """The instance, of the values given for its fields, which are taken out of `given`."""
    values = {option.field.name: given.pop(option.field.name) for option in _options(kind)}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _options(kind: Any) -> "Iterator[_Option]":
    annotations = hints(kind)
    for field in fields(kind):
        yield _Option.of(field, annotations[field.name])


@dataclass(frozen=True)
class _Option:
    """One field as an option.

    Attributes:
        field: of the dataclass.
        kind: its type without what is said about it, and without None.
        optional: whether it may be None.
        help: what is said about it.
        extra: what its `Meta` has beside: see above, at the head of the module.
        choices: what it may be, where that can be listed.
    """

    field: Field[Any]
    kind: inspect.Type
    optional: bool
    help: str
    extra: dict[str, Any]
    choices: tuple[str, ...]

    @classmethod
    def of(cls, field: Field[Any], annotation: Any) -> "_Option":
        """From the field's annotation, in which the words may stand outside or inside of what makes it optional."""
        kind, optional, words = inspect.type_info(annotation), False, ""
        extra: dict[str, Any] = {}
        while not isinstance(kind, tuple(_CLASSES)):
            if isinstance(kind, inspect.Metadata):
                words = (kind.extra_json_schema or {}).get("description", words)
                extra |= kind.extra or {}
                kind = kind.type
            else:
                assert isinstance(kind, inspect.UnionType)
                (kind,) = (part for part in kind.types if not isinstance(part, inspect.NoneType))
                optional = True
        return cls(field, kind, optional, words, extra, extra.get("choices") or choices(annotation))

    @property
    def panel(self) -> str | None:
        """Where it stands in the help."""
        return self.extra.get("panel")

    @property
    def parameter(self) -> Parameter:
        """As typer reads it."""
        read = _CLASSES[type(self.kind)]
        annotation: Any = Annotated[read | None if self.optional else read, self._shown()]
        default = Parameter.empty if self.field.default is MISSING else self.field.default
        if isinstance(default, tuple):
            default = list(default)
        return Parameter(self.field.name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

    def _shown(self) -> Any:
        if "argument" in self.extra:
            return typer.Argument(metavar=self.extra["argument"], help=self.help)
        return typer.Option(
            *self._names(),
            click_type=click.Choice(self.choices) if self.choices else None,
            metavar=f"{_NUMBERS[type(self.kind)]} {range_of(self.kind)}".rstrip()
            if type(self.kind) in _NUMBERS
            else None,
            help=self.help,
            rich_help_panel=self.panel,
        )

    def _names(self) -> list[str]:
        """Those that typer would not find itself; a flag has no opposite."""
        named = self.extra.get("option")
        if named:
            return [named]
        return [f"--{self.field.name.replace('_', '-')}"] if isinstance(self.kind, inspect.BoolType) else []
