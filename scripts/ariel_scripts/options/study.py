"""Options of `ariel study`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class StudyOptions:
    """Run the stages of a whole study: simulate, build, pretrain, finetune, calibrate, predict, report, submit.

    A stage has a name, a command and options, those of the command; it writes to OUT/NAME. Where a command reads a
    dataset, model, predictions or raw folder, the name of an earlier stage stands for what that has left, NAME/FILE
    for a file of its folder. A stage runs where its options, the content of what it reads, or its result are not those
    of its last run; then its folder is written anew. A stopped study goes on.

    Example: ariel study configs/study.yaml --out runs/study --dry-run
    """

    study: Annotated[Path, typer.Argument(metavar="STUDY", help="YAML of stages.")]
    out: Annotated[Path, typer.Option(help="Folder of all stages, stages.json and run.json.")] = Path("study")
    restart: Annotated[bool, typer.Option("--restart", help="Run all stages anew.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which stages would run, and why; run nothing.")] = (
        False
    )
