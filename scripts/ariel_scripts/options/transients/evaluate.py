"""Options of `ariel transients evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ariel_scripts.options.revisions import DatasetRevision


@dataclass(frozen=True)
class EvaluateOptions:
    """Score predicted transients: F1, average precision, calibration, with 90 % intervals; by spectral type.

    Each object is judged at the threshold that the other folds' objects choose: the predictions' folds, or five.

    Example: ariel transients evaluate finetuned/predictions.parquet transients

    Example: ariel transients evaluate run/probabilities.csv truth.csv --threshold 0.3
    """

    predictions: Annotated[Path, typer.Argument(help="Probabilities of finetune, boost, ensemble or predict.")]
    truth: Annotated[str, typer.Argument(help="Dataset folder or Hub id, or a CSV: object_id, target, SpecType.")]
    split: Annotated[str, typer.Option(help="Split of the dataset.")] = "train"
    dataset_revision: DatasetRevision = None
    threshold: Annotated[float | None, typer.Option(help="One for all objects.", min=0.0, max=1.0)] = None
    out: Annotated[
        Path | None, typer.Option(help="JSON file, with a CSV table beside it; beside the predictions by default.")
    ] = None
    draws: Annotated[int, typer.Option(min=10, help="Of the bootstrap over objects.")] = 1000
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0
