"""Options of `ariel transients finetune`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from ariel_scripts.options.revisions import DatasetRevision, ModelRevision
from ariel_scripts.options.training_loop import LoopOptions, ModelSettings, RunFolderOption
from ariel_scripts.options.transients.training import Architecture, AugmentationOptions, MaxMeasurements


@dataclass(frozen=True)
class FinetuneOptions:
    """Learn which objects are tidal disruption events.

    Every object is judged by a model that never saw it, with probabilities calibrated on objects that neither trained
    the model nor are judged: OUT/predictions.parquet, OUT/scores.json. A stopped run continues when the command is run
    again. On several processes: accelerate launch -m ariel_scripts.cli transients finetune …

    Example: ariel transients finetune transients --model pretrained/model --out finetuned

    Example: ariel transients finetune transients --architecture transient_lstm --folds 5 --predict test
    """

    dataset: Annotated[str, typer.Argument(help="Dataset folder or Hub id of transients.")]
    out: RunFolderOption = Path("finetuned")
    split: Annotated[str, typer.Option(help="Labelled split.")] = "train"
    dataset_revision: DatasetRevision = None
    model: Annotated[str | None, typer.Option(help="Checkpoint to start from: a folder or a Hub id.")] = None
    revision: ModelRevision = None
    architecture: Architecture = None
    classes: Annotated[str, typer.Option(help="type: AGN, SN, TDE; target: TDE or other.")] = "type"
    features: Annotated[
        Path | None, typer.Option(help="Parquet of object_id and numbers, read beside the light curves.")
    ] = None
    loss: Annotated[str, typer.Option(help="cross_entropy or focal.")] = "cross_entropy"
    class_weights: Annotated[str, typer.Option(help="Of the loss: none or balanced.")] = "none"
    sampling: Annotated[str, typer.Option(help="all, or balanced: each class as often.")] = "balanced"
    objective: Annotated[
        str, typer.Option(help="Validation's number that picks the best model: average_precision or log_loss.")
    ] = "average_precision"
    freeze_backbone: Annotated[bool, typer.Option("--freeze-backbone", help="Train the classes alone.")] = False
    folds: Annotated[int, typer.Option(min=0, help="Stratified folds; 0 holds nothing out.")] = 5
    fold: Annotated[str, typer.Option(help="all, or the number of one.")] = "all"
    fold_seed: Annotated[int, typer.Option(help="Which objects are together in a fold.")] = 0
    validation: Annotated[float, typer.Option(help="Share of the others that picks and calibrates the model.")] = 0.2
    predict: Annotated[str | None, typer.Option(help="Also predict this split, by the mean of the folds.")] = None
    embeddings: Annotated[bool, typer.Option("--embeddings", help="Write embeddings of objects held out.")] = False
    max_measurements: MaxMeasurements = 160
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)
    settings: ModelSettings = None
    loop: LoopOptions = field(default_factory=lambda: LoopOptions(steps=600, evaluate_every=50))
