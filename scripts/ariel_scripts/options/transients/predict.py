"""Options of `ariel transients predict`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class PredictOptions:
    """Predict which objects are tidal disruption events; the same command continues after a stop.

    OUT/predictions.csv is a submission: object_id and 0 or 1. OUT/probabilities.csv has calibrated probabilities.
    Features are computed into OUT/features. Without a model one is trained on the labelled objects, into OUT/model.

    Example: ariel transients predict transients run
    """

    dataset: Annotated[str, typer.Argument(help="Dataset of transients: folder or Hub id.")]
    out: Annotated[Path, typer.Argument(help="Folder for features, model and predictions.")]
    model: Annotated[Path | None, typer.Option(help="Model of `ariel transients boost`.")] = None
    split: Annotated[str, typer.Option(help="Split to predict.")] = "test"
    library: Annotated[str, typer.Option(help="Of a model that is trained, as in `boost`.")] = "lightgbm"
    seed: Annotated[int, typer.Option(min=0, help="Of redshifts' errors, folds and trees.")] = 0
    workers: Annotated[int, typer.Option(min=0, help="Processes for features; 0: one a core.")] = 0
