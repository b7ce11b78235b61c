"""Options of `ariel transients boost`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class BoostOptions:
    """Train gradient boosting on features: which objects are tidal disruption events?

    Inner folds choose the features, calibrate the probabilities and set the threshold. Where objects have types a
    second search tells supernovae from AGN. Needs the extra `transients`.

    Example: ariel transients boost features model --folds 5
    """

    features: Annotated[Path, typer.Argument(help="Table of `ariel transients features`.")]
    out: Annotated[Path, typer.Argument(help="Folder for the model.")]
    library: Annotated[str, typer.Option(help="catboost, lightgbm, xgboost, or all: an average of them.")] = "lightgbm"
    seed: Annotated[int, typer.Option(min=0, help="Of folds and trees.")] = 0
    folds: Annotated[
        int, typer.Option(min=0, help="Also judge each labelled object by a model of other folds: predictions.parquet.")
    ] = 0
    tune: Annotated[
        bool, typer.Option("--tune", help="Inner folds choose depth, trees, rate and columns too: four times slower.")
    ] = False
