"""Dataclasses of options as a command's parameters, and parameters as dataclasses.

A field is an option; a field that is a dataclass itself stands for its own fields, whose defaults are those of the
instance that is the field's default: groups of options that commands share may differ in their defaults.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

OptionsT = TypeVar("OptionsT", bound="DataclassInstance")


def parameters_of(options: type[DataclassInstance]) -> list[inspect.Parameter]:
    """A parameter for each option, in the order of the fields, with its annotation and default."""
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for name, hint, default in _flat(options, None)
    ]


def options_of(options: type[OptionsT], values: Mapping[str, Any]) -> OptionsT:
    """The options with these ``values``, all of them by the names of their parameters."""
    hints = get_type_hints(options)
    return options(
        **{
            field.name: options_of(hints[field.name], values)
            if dataclasses.is_dataclass(hints[field.name])
            else values[field.name]
            for field in dataclasses.fields(options)
        }
    )


def taken(settings: type[OptionsT], options: DataclassInstance, **others: Any) -> OptionsT:
    """The dataclass ``settings`` with what ``options`` have under the names of its fields, and with ``others``."""
    names = {field.name for field in dataclasses.fields(settings)} - others.keys()
    return settings(**{name: getattr(options, name) for name in names if hasattr(options, name)}, **others)


def values_of(options: DataclassInstance) -> dict[str, Any]:
    """The values of all options by the names of their parameters, in their order."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            found |= values_of(value)
        else:
            found[field.name] = value
    return found


def _flat(options: type[DataclassInstance], defaults: DataclassInstance | None) -> Iterator[tuple[str, Any, Any]]:
    """Name, annotation and default of each option; ``defaults`` go before those of the fields."""
    hints = get_type_hints(options, include_extras=True)
    for field in dataclasses.fields(options):
        default = _default(field) if defaults is None else getattr(defaults, field.name)
        if dataclasses.is_dataclass(hints[field.name]):
            group = None if default is inspect.Parameter.empty else default
            yield from _flat(hints[field.name], group)
        else:
            yield field.name, hints[field.name], default


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
