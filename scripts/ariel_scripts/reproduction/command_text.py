"""A recorded command as a line that a shell takes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

import typer.models

from ariel_scripts import cli
from ariel_scripts.content import plain
from ariel_scripts.options.fields import parameters_of


def command_text(command: str, options: Mapping[str, Any]) -> str:
    """`ariel COMMAND …` with the options that are not the defaults."""
    words = ["ariel", *command.split()]
    for parameter in parameters_of(cli.COMMANDS[command]) if command in cli.COMMANDS else ():
        value = options.get(parameter.name)
        if value is None or value == plain(parameter.default):
            continue
        about = get_args(parameter.annotation)[1] if get_origin(parameter.annotation) is Annotated else None
        declared = [name for name in getattr(about, "param_decls", None) or () if name.startswith("--")]
        flag = declared[0] if declared else f"--{parameter.name.replace('_', '-')}"
        for one in value if isinstance(value, list) else [value]:
            text = str(plain(one)) if not isinstance(one, Mapping) else str(dict(one))
            if isinstance(about, typer.models.ArgumentInfo):
                words.append(text)
            elif isinstance(one, bool):
                words.append(flag if one else flag.replace("--", "--no-", 1))
            else:
                words += [flag, text]
    return shlex.join(words)
