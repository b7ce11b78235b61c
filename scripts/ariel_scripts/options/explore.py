"""Options of `ariel explore`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class ExploreOptions:
    """Print what a raw folder holds (planets, visits, shapes, sizes, what is missing) and write it as Markdown.

    Example: ariel explore ~/ariel-data-challenge-2025 --out explore.md
    """

    root: Annotated[Path, typer.Argument(help="Raw challenge folder, 2024 or 2025 layout.")]
    out: Annotated[Path | None, typer.Option(help="Markdown file to write; `-` for none.")] = Path("explore.md")
    planets: Annotated[
        int,
        typer.Option(help="Look into the files of at most this many planets a split; 0 = all."),
    ] = 0
    strict: Annotated[bool, typer.Option(help="Exit with an error where anything is missing or broken.")] = False
