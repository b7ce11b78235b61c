"""Options of `ariel curriculum`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class CurriculumOptions:
    """Run the stages of a file one after another, each starting from the model of the one before.

    A stage has a name, a command (simulate, pretrain, finetune, adapt or calibrate) and options, those of the command.
    It writes to OUT/NAME. As dataset or model the name of an earlier stage stands for what that has left. All options
    are checked before the first stage runs; finished stages are not run again.

    Example: ariel curriculum configs/curriculum.yaml --out runs/curriculum
    """

    stages: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML of stages.")]
    out: Annotated[Path, typer.Option(help="Folder of all stages, stages.json and run.json.")] = Path("curriculum")
    restart: Annotated[bool, typer.Option("--restart", help="Forget finished stages and run all of them anew.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the stages and list them; run nothing.")] = False
