"""Options of `ariel map`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer


@dataclass(frozen=True)
class MapOptions:
    """Print every command with what it reads and writes, its files in configs/, and the documents about it.

    Example: ariel map
    """

    json: Annotated[bool, typer.Option("--json", help="As JSON, not Markdown.")] = False
