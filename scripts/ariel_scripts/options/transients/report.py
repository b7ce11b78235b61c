"""Options of `ariel transients report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ariel_scripts.options.revisions import DatasetRevision


@dataclass(frozen=True)
class ReportOptions:
    """Write a page about predicted transients: mistakes first, scores, spectral types, calibration, reasons.

    Without targets it shows the most probable objects. The page is one file that opens from disk. Needs the extra
    `report`.

    Example: ariel transients report boosted/predictions.parquet transients report.html

    Example: ariel transients report boosted/predictions.parquet data r.html --model boosted --features run/features
    """

    predictions: Annotated[Path, typer.Argument(help="Probabilities of finetune, boost, ensemble or predict.")]
    dataset: Annotated[str, typer.Argument(help="Dataset folder or Hub id of transients.")]
    out: Annotated[Path, typer.Argument(help="The page, HTML.")]
    split: Annotated[str, typer.Option(help="Split of the dataset.")] = "train"
    dataset_revision: DatasetRevision = None
    threshold: Annotated[
        float | None,
        typer.Option(help="By default that of the other folds' objects, and without targets the recorded one.",
                     min=0.0, max=1.0),
    ] = None  # fmt: skip
    model: Annotated[Path | None, typer.Option(help="Model of `boost`, to say what weighed; needs --features.")] = None
    features: Annotated[Path | None, typer.Option(help="Table of `features`.")] = None
    mistakes: Annotated[int, typer.Option(min=0, help="Drawn of each kind, the worst first.")] = 6
    objects: Annotated[list[str] | None, typer.Option("--object", help="Draw this one too; several times.")] = None
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0
