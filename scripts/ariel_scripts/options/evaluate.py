"""Options of `ariel evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ariel_scripts.options.revisions import DatasetRevision


@dataclass(frozen=True)
class EvaluateOptions:
    """Score predictions against true spectra: 2024 and 2025 scores, RMSE, coverage, z-scores, errors by band.

    Example: ariel evaluate run/predictions.parquet light-curves
    """

    predictions: Annotated[Path, typer.Argument(help="Predictions: Parquet, CSV or NPZ.")]
    truth: Annotated[
        str,
        typer.Argument(help="Dataset folder or Hub id with spectra, or a train_labels.csv/train.csv."),
    ]
    split: Annotated[str, typer.Option(help="Split of the dataset.")] = "train"
    dataset_revision: DatasetRevision = None
    out: Annotated[Path | None, typer.Option(help="JSON file; beside the predictions by default.")] = None
    reference: Annotated[
        Path | None,
        typer.Option(help="CSV of training truths for the score's reference; the 2024 one by default."),
    ] = None
