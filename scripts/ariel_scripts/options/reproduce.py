"""Options of `ariel reproduce`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class ReproduceOptions:
    """Run the command that left a result again, into another folder, and compare.

    Refused where an input is no longer what it was. Where bytes differ, numbers are compared, each with the largest of
    its column; the exit code is 1 where one is off by more than the tolerance.

    Example: ariel reproduce run/predictions.parquet
    """

    file: Annotated[Path, typer.Argument(help="What a command has left: a file, or a folder of a model or dataset.")]
    out: Annotated[
        Path | None, typer.Option(help="New folder for the second result; else one that is removed if it agrees.")
    ] = None
    tolerance: Annotated[float, typer.Option(min=0.0, help="Of a number, relative to the largest of its column.")] = (
        1e-5
    )
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the inputs and print the command; run nothing.")] = (
        False
    )
