"""Options of `ariel transients ensemble`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ariel_scripts.options.revisions import DatasetRevision


@dataclass(frozen=True)
class EnsembleOptions:
    """Combine predictions of several models by a mean, ranks, stacking or blending, each judged in folds of its own.

    OUT/predictions.parquet has each object's probability by weights of other folds, OUT/scores.json all scores. With
    --predict, a file a model in the same order, OUT/probabilities.csv has those of other objects, for `submit`.

    Example: ariel transients ensemble data out --add boosted/predictions.parquet --add finetuned/predictions.parquet
    """

    dataset: Annotated[str, typer.Argument(help="Dataset folder or Hub id, or a CSV: object_id, target.")]
    out: Annotated[Path, typer.Argument(help="Folder for the predictions.")]
    add: Annotated[list[Path], typer.Option(help="Out-of-fold predictions of a model; twice or more.")]
    how: Annotated[str, typer.Option(help="Written: average, weighted, ranks, stacking or blending.")] = "average"
    predict: Annotated[list[Path] | None, typer.Option(help="A model's predictions of other objects.")] = None
    split: Annotated[str, typer.Option(help="Labelled split.")] = "train"
    dataset_revision: DatasetRevision = None
    repeats: Annotated[int, typer.Option(min=1, help="Of the folds.")] = 3
    seed: Annotated[int, typer.Option(min=0, help="Of the folds.")] = 0
