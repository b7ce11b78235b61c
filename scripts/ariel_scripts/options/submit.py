"""Options of `ariel submit`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class SubmitOptions:
    """Write a submission in the official format, validated against the sample.

    Example: ariel submit run/predictions.parquet --sample sample_submission.csv --out submission.csv
    """

    predictions: Annotated[Path, typer.Argument(help="Predictions: Parquet, CSV or NPZ.")]
    sample: Annotated[Path, typer.Option(help="The challenge's sample_submission.csv: columns and planets.")]
    out: Annotated[
        Path,
        typer.Option(help="The submission CSV; *.long.csv and *.manifest.json go beside it."),
    ] = Path("submission.csv")
    all_planets: Annotated[
        bool,
        typer.Option("--all-planets", help="Write every predicted planet, not just those of the sample."),
    ] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Validate; write nothing.")] = False
