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
    out: Annotated[
        Path | None, typer.Option(help="JSON file, with a CSV table beside it; beside the predictions by default.")
    ] = None
    alpha: Annotated[
        list[str] | None,
        typer.Option(help="Also the coverage at level 1 - alpha; several times, or with commas: 0.1,0.32."),
    ] = None
    reference: Annotated[
        Path | None,
        typer.Option(help="CSV of training truths for the score's reference; the 2024 one by default."),
    ] = None

    @property
    def levels(self) -> list[float]:
        """Levels 1 - alpha; ValueError where an alpha is no number between 0 and 1."""
        levels = []
        for text in ",".join(self.alpha or ()).split(",") if self.alpha else ():
            try:
                alpha = float(text)
            except ValueError:
                alpha = float("nan")
            if not 0 < alpha < 1:
                raise ValueError(f"--alpha: expected numbers between 0 and 1, found {text!r}")
            levels.append(1 - alpha)
        return levels
