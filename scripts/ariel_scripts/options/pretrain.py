"""Options of `ariel pretrain`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from ariel_scripts.options.revisions import DatasetRevision, ModelRevision
from ariel_scripts.options.training_loop import LoopOptions, ModelSettings, RunFolderOption

TASKS = ("masked", "contrastive")


@dataclass(frozen=True)
class PretrainOptions:
    """Hide parts of light curves and learn to rebuild them, or to tell transits in them; labels are not used.

    The loss is the mean squared error of hidden points in their own sigmas: 1 where all but the noise is known. Of
    --architecture spectre it is the share of the light's power that is not rebuilt, beside that of the jitter. With
    --task contrastive it is InfoNCE between patches in and out of transit, under two views with other channels hidden.
    A stopped run continues when the command is run again.

    Example: accelerate launch scripts/pretrain.py --config configs/pretrain.yaml

    Example: ariel pretrain --simulate 0 --out pretrained --steps 200
    """

    dataset: Annotated[
        str | None,
        typer.Argument(help="Dataset folder or Hub id of light curves, read as a stream."),
    ] = None
    out: RunFolderOption = Path("pretrained")
    split: Annotated[str, typer.Option(help="Split of the dataset.")] = "train"
    dataset_revision: DatasetRevision = None
    simulate: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Simulate this many light curves on the fly instead; 0: never the same twice.",
        ),
    ] = None
    share_2025: Annotated[float, typer.Option(help="Share of simulated planets with a star table, like 2025's.")] = 0.5
    fewest_exposures: Annotated[
        int,
        typer.Option(
            min=375,
            max=5625,
            help="Simulated visits have from this many to 5,625 AIRS exposures.",
        ),
    ] = 5625
    validation: Annotated[
        int,
        typer.Option(min=1, help="Light curves held out, in whose masked parts it is judged."),
    ] = 64
    model: Annotated[
        str | None,
        typer.Option(help="Checkpoint to start from: a folder, a Hub id or released."),
    ] = None
    revision: ModelRevision = None
    architecture: Annotated[
        str | None, typer.Option(help="ariel, the transformer, or spectre; else the checkpoint's.")
    ] = None
    templates: Annotated[
        Path | None, typer.Option(help="PSF templates (ariel templates) that a new spectre has; it is saved with them.")
    ] = None
    task: Annotated[str, typer.Option(help="masked or contrastive (ariel alone).")] = "masked"
    temperature: Annotated[float, typer.Option(help="Of InfoNCE: less looks at the hardest pairs alone.")] = 0.1
    mask_strategy: Annotated[
        str, typer.Option(help="Of masked: random or block in time; band or snr over channels.")
    ] = "random"
    mask_ratio: Annotated[float, typer.Option(help="Share hidden; of channels in each view, if contrastive.")] = 0.6
    settings: ModelSettings = None
    loop: LoopOptions = field(default_factory=lambda: LoopOptions(weight_decay=0.05, evaluate_every=200))

    def __post_init__(self) -> None:
        """Refuse both sources of light curves, or none, and a task that there is not."""
        if self.task not in TASKS:
            raise typer.BadParameter(f"task: expected {' or '.join(TASKS)}, found {self.task!r}")
        if (self.dataset is None) == (self.simulate is None):
            raise typer.BadParameter("expected a dataset or --simulate N, and not both")
