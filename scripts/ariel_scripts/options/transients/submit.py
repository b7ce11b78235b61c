"""Options of `ariel transients submit`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class SubmitOptions:
    """Write a submission, object_id and 0 or 1, and check it; or check one that is there.

    Example: ariel transients submit finetuned/predictions_test.parquet submission.csv --sample sample_submission.csv

    Example: ariel transients submit --check submission.csv --sample sample_submission.csv
    """

    probabilities: Annotated[Path | None, typer.Argument(help="Probabilities, Parquet or CSV.")] = None
    out: Annotated[Path, typer.Argument(help="The submission CSV.")] = Path("submission.csv")
    sample: Annotated[Path | None, typer.Option(help="The challenge's sample_submission.csv: objects, order.")] = None
    threshold: Annotated[
        float | None,
        typer.Option(help="Of the probability; by default the one recorded beside it.", min=0.0, max=1.0),
    ] = None
    check: Annotated[
        Path | None, typer.Option(help="Say all that is wrong with this CSV, and exit with 1 if anything is.")
    ] = None
