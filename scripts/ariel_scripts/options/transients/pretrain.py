"""Options of `ariel transients pretrain`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from ariel_scripts.options.revisions import DatasetRevision, ModelRevision
from ariel_scripts.options.training_loop import LoopOptions, ModelSettings, RunFolderOption
from ariel_scripts.options.transients.training import Architecture, AugmentationOptions, MaxMeasurements


@dataclass(frozen=True)
class PretrainOptions:
    """Hide fluxes of light curves, labelled or not, and learn to rebuild them.

    The splits may hold the objects that are classified later: no label is used. A stopped run continues when the
    command is run again. On several processes: accelerate launch -m ariel_scripts.cli transients pretrain …

    Example: ariel transients pretrain transients --out pretrained --steps 1000
    """

    dataset: Annotated[str, typer.Argument(help="Dataset folder or Hub id of transients.")]
    out: RunFolderOption = Path("pretrained")
    splits: Annotated[list[str], typer.Option("--split", help="Split to learn from; may be repeated.")] = field(
        default_factory=lambda: ["train", "test"]
    )
    dataset_revision: DatasetRevision = None
    model: Annotated[str | None, typer.Option(help="Checkpoint to start from: a folder or a Hub id.")] = None
    revision: ModelRevision = None
    architecture: Architecture = None
    max_measurements: MaxMeasurements = 160
    augmentation: AugmentationOptions = field(default_factory=lambda: AugmentationOptions(redshift=0.0))
    settings: ModelSettings = None
    loop: LoopOptions = field(default_factory=lambda: LoopOptions(steps=1000))
