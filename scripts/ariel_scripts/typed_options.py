"""Options of a command from plain values, those of a YAML file or of a record, checked as on its command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ariel_scripts import cli
from ariel_scripts.command_line import check_value
from ariel_scripts.config_files import typed_values
from ariel_scripts.options.fields import options_of, parameters_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def typed_options(command: str, given: Mapping[str, Any]) -> DataclassInstance:
    """The options of `ariel COMMAND`, those that are not given by default.

    Raises:
        ValueError: one that is needed is missing.
        typer.BadParameter: one is unknown, of another type or out of its range.
    """
    kind = cli.COMMANDS[command]
    parameters = parameters_of(kind)
    values = typed_values(given, parameters, f"ariel {command}")
    missing = [p.name for p in parameters if p.default is p.empty and values.get(p.name) is None]
    if missing:
        raise ValueError(f"expected {', '.join(missing)} too, found none")
    of_command: Any = typer.main.get_command(cli.app)
    for word in command.split():
        of_command = of_command.commands[word]
    context = typer.Context(of_command)
    for option in of_command.params:
        if values.get(option.name) is not None:
            check_value(option, context, values[option.name], f"ariel {command}")
    for parameter in parameters:  # which YAML has as text
        if parameter.name in values and "pathlib.Path" in str(parameter.annotation):
            value = values[parameter.name]
            values[parameter.name] = [Path(one) for one in value] if isinstance(value, list) else value and Path(value)
    return options_of(kind, {p.name: p.default for p in parameters} | values)
