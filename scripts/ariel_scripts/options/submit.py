"""Options of `ariel submit`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class SubmitOptions:
    """Write a submission in the official format, validated against the sample; or check one.

    Example: ariel submit run/predictions.parquet --sample sample_submission.csv --out submission.csv

    Example: ariel submit --check submission.csv --sample sample_submission.csv
    """

    predictions: Annotated[Path | None, typer.Argument(help="Predictions: Parquet, CSV or NPZ.")] = None
    sample: Annotated[
        Path | None,
        typer.Option(help="The challenge's sample_submission.csv: columns and planets; needed unless --check."),
    ] = None
    out: Annotated[
        Path,
        typer.Option(help="The submission CSV; *.zip, *.long.csv and *.manifest.json go beside it."),
    ] = Path("submission.csv")
    check: Annotated[
        Path | None,
        typer.Option(help="Say all that is wrong with this submission CSV, and exit with 1 if anything is."),
    ] = None
    report: Annotated[str | None, typer.Option(help="Link to a report, for the manifest.")] = None
    dataset: Annotated[
        str | None, typer.Option(help="Link to the dataset, for the manifest; by default what the predictions record.")
    ] = None
    all_planets: Annotated[
        bool,
        typer.Option("--all-planets", help="Write every predicted planet, not just those of the sample."),
    ] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Validate; write nothing.")] = False
