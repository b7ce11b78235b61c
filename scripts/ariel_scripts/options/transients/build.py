"""Options of `ariel transients build`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class BuildOptions:
    """Build a dataset of light curves from a raw folder in the layout of the MALLORN challenge.

    What cannot be used is left out, counted in the log and the card, and named in OUT/report.json.

    Exit codes: 0 built, 1 failed (or objects left out, with --strict), 2 wrong usage, 130 interrupted.

    Example: ariel transients build /kaggle/input/mallorn-astronomical-classification-challenge transients
    """

    root: Annotated[Path, typer.Argument(help="Raw folder: train_log.csv, test_log.csv, split_01 …")]
    out: Annotated[Path, typer.Argument(help="Folder for the dataset; an earlier one of transients is replaced.")]
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if any object was left out.")] = False
