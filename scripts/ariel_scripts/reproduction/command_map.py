"""Command → files → documents, from the options, the configurations and the documents themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer.models

from ariel_scripts import cli
from ariel_scripts.options.fields import parameters_of
from ariel_scripts.options.roles import role

CHECKOUT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Entry:
    """What a command is for; what it ``reads`` and ``writes``, by option; files of configs/ and documents about it."""

    command: str
    purpose: str
    reads: dict[str, str]
    writes: dict[str, str]
    configs: list[str]
    documents: list[str]


def command_map(checkout: Path = CHECKOUT) -> list[Entry]:
    """An entry for each command; without a checkout there are no configurations and no documents."""
    documents = {path.relative_to(checkout).as_posix(): _text(path) for path in _documents(checkout)}
    configs = {path.relative_to(checkout).as_posix(): _text(path) for path in sorted(checkout.glob("configs/*.yaml"))}
    return [
        Entry(
            name,
            (options.__doc__ or "").splitlines()[0],
            dict(_named(name, "reads")),
            dict(_named(name, "writes")),
            [path for path, text in configs.items() if _is_about(name, text)],
            [path for path, text in documents.items() if _is_about(name, text)],
        )
        for name, options in cli.COMMANDS.items()
    ]


def as_markdown(entries: list[Entry]) -> str:
    """A table."""
    head = ["| command | purpose | reads | writes | configurations, documents |", "|---|---|---|---|---|"]
    rows = (
        [
            f"`ariel {one.command}`",
            one.purpose,
            _list(one.reads),
            _list(one.writes),
            ", ".join([*one.configs, *one.documents]),
        ]
        for one in entries
    )
    return "\n".join([*head, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)])


def as_json(entries: list[Entry]) -> str:
    """The same as JSON."""
    return json.dumps([asdict(one) for one in entries], indent=1, ensure_ascii=False)


def _list(options: dict[str, str]) -> str:
    return " ".join(f"**{name}**: {text}" for name, text in options.items())


def _named(command: str, wanted: str) -> Iterator[tuple[str, str]]:
    """Options by which a command reads or writes, with their help."""
    for parameter in parameters_of(cli.COMMANDS[command]):
        if role(command, parameter.name) == wanted and _may_name(parameter.annotation):
            about: Any = get_args(parameter.annotation)[1]
            argument = isinstance(about, typer.models.ArgumentInfo)
            name = (about.metavar or parameter.name.upper()) if argument else f"--{parameter.name.replace('_', '-')}"
            yield str(name), str(about.help)


def _may_name(annotation: Any) -> bool:
    """Whether an option of this type may name a file; a number of planets, for one, does not."""
    kind = str(get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation)
    return "Path" in kind or "str" in kind


def _documents(checkout: Path) -> list[Path]:
    return [path for path in (checkout / "README.md", *sorted(checkout.glob("docs/*.md"))) if path.is_file()]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _is_about(command: str, text: str) -> bool:
    """Whether a text has the command: `ariel transients build`, not `ariel transients` or `ariel build-dataset`."""
    name = re.escape(command)
    return re.search(rf"\bariel\s+{name}(?![\w-])|\bscripts/{name}\.py\b", text) is not None
