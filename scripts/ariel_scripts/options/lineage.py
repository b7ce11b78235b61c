"""Options of `ariel lineage`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class LineageOptions:
    """Walk from a submission, prediction, report, checkpoint or dataset back to raw files.

    Every command on the way is shown with its configuration's hash, seed, versions and commit, every file with whether
    it is still what was recorded: moved, changed or gone. What is on the Hub is walked as far as its copy in the cache
    says; nothing is fetched. Shards and models are hashed, raw files only where their size or time is another.

    Example: ariel lineage submission.csv
    """

    file: Annotated[Path, typer.Argument(help="What a command has left: a file, or a folder of a model or dataset.")]
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False
    deep: Annotated[bool, typer.Option("--deep", help="Hash all raw files too.")] = False
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where anything is not as recorded.")] = False
