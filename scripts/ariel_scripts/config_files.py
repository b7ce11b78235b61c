"""YAML files of option values: read and checked, one above another, and the options of a run written as one."""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Mapping
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import typer

from ariel_scripts.options.yaml_values import read_mapping, shown, write_yaml

_EXPECTED = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text", Path: "a path"}
_ACCEPTED: dict[Any, tuple[type, ...]] = {  # 2024 may be a name
    bool: (bool,),
    int: (int,),
    float: (int, float),
    str: (str, int),
    Path: (str, int),
}


def read_config(path: Path, options: Iterable[Parameter]) -> dict[str, Any]:
    """Values of options by name from a YAML file.

    Raises:
        typer.BadParameter: it is no readable mapping, or a key or a value is none of ``options``. The message names
            file, key, expected and found.
    """
    try:
        values = read_mapping(path, "option values", "option names to values")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return typed_values(values, options, str(path))


def typed_values(values: Mapping[Any, Any], options: Iterable[Parameter], where: str) -> dict[str, Any]:
    """Values of options by name, each as its option has it; typer.BadParameter that begins with ``where`` else."""
    known = {option.name: option.annotation for option in options}
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = str(key).replace("-", "_")
        if name not in known:
            raise typer.BadParameter(f"{where}: unknown option {key}; known: {', '.join(sorted(known))}")
        if name in found:
            raise typer.BadParameter(f"{where}: {name}: expected once, found also as {key}")
        try:
            found[name] = _typed(known[name], value)
        except ValueError as error:
            raise typer.BadParameter(f"{where}: {key}: {error}") from None
        except typer.BadParameter as error:
            raise typer.BadParameter(f"{where}: {key}: {error.message}") from None
    return found


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings as one; where both have a key ``above`` wins, and mappings in them are merged alike."""
    both = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], Mapping) and isinstance(above[key], Mapping):
            both[key] = merged(below[key], above[key])
    return both


def config_text(values: Mapping[str, Any]) -> str:
    """Values of options as YAML that :func:`read_config` reads back."""
    return write_yaml({name: _plain(value) for name, value in values.items()})


def _typed(hint: Any, value: Any) -> Any:
    """The value as an option of this type has it; ValueError or typer.BadParameter where it is another's."""
    parse = None
    if get_origin(hint) is Annotated:
        hint, *about = get_args(hint)
        parse = next((one.parser for one in about if getattr(one, "parser", None)), None)
    if get_origin(hint) in (Union, types.UnionType):
        hints = get_args(hint)
        if value is None and types.NoneType in hints:
            return None
        hint = next(one for one in hints if one is not types.NoneType)
    if value is None:
        raise ValueError(f"expected {_EXPECTED.get(hint, 'a value')}, found nothing")
    if parse is not None:
        return parse(value)
    if get_origin(hint) is list:
        return [_typed(get_args(hint)[0], one) for one in (value if isinstance(value, list) else [value])]
    wrong = isinstance(value, bool) is not (hint is bool) or not isinstance(value, _ACCEPTED[hint])
    if wrong or (isinstance(value, float) and not math.isfinite(value)):
        quotes = "; in quotes it is text" if isinstance(value, bool) and hint is str else ""
        raise ValueError(f"expected {_EXPECTED[hint]}, found {shown(value)}{quotes}")
    return str(value) if hint in (str, Path) else hint(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
