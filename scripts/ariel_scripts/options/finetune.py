"""Options of `ariel finetune`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from ariel_scripts.options.revisions import DatasetRevision, ModelRevision
from ariel_scripts.options.training_loop import LoopOptions, ModelSettings, RunFolderOption

POPULATIONS = ("2024", "2025", "both")


@dataclass(frozen=True)
class FinetuneOptions:
    """Learn spectra from labelled light curves.

    Classical fits are done first, once (0.8 s a visit), and kept in the cache of `datasets`. With --folds, every planet
    is predicted by a model that never saw it: OUT/predictions.parquet. A stopped run continues when the command is run
    again.

    Example: accelerate launch scripts/finetune.py light-curves --model pretrained/model --folds 5

    Example: ariel finetune curves --config configs/simulated.yaml --out simulated
    """

    dataset: Annotated[str | None, typer.Argument(help="Dataset folder or Hub id of labelled light curves.")] = None
    out: RunFolderOption = Path("finetuned")
    split: Annotated[str, typer.Option(help="Split of the dataset.")] = "train"
    beside: Annotated[
        str | None,
        typer.Option(help="Another split to train on, of planets that no prior or population is learned from."),
    ] = None
    dataset_revision: DatasetRevision = None
    model: Annotated[
        str | None,
        typer.Option(help="Checkpoint to start from (folder, Hub id or released); else a new model."),
    ] = None
    revision: ModelRevision = None
    architecture: Annotated[
        str | None,
        typer.Option(help="Name (docs/architectures.md) or package.Class of the network; else the checkpoint's."),
    ] = None
    templates: Annotated[
        Path | None, typer.Option(help="PSF templates (ariel templates) that a new spectre has; it is saved with them.")
    ] = None
    physics: Annotated[
        str,
        typer.Option(help="residual: correct the classical posterior; none: light curves alone."),
    ] = "residual"
    loss: Annotated[str, typer.Option(help="gaussian, score_2024 or score_2025.")] = "gaussian"
    penalties: Annotated[
        Path | None,
        typer.Option(help="YAML of physics rules added to the loss (configs/objective.yaml); else the checkpoint's."),
    ] = None
    objective: Annotated[
        str,
        typer.Option(help="Validation's number that picks the best model: log_likelihood, score_2024, score_2025."),
    ] = "log_likelihood"
    freeze_mean: Annotated[
        bool, typer.Option("--freeze-mean", help="Train σ alone: it learns how far the mean is off.")
    ] = False
    freeze_backbone: Annotated[bool, typer.Option("--freeze-backbone", help="Train the head only.")] = False
    folds: Annotated[int, typer.Option(min=0, help="Folds by planet; 0 holds nothing out.")] = 0
    fold: Annotated[str, typer.Option(help="all, or the number of one.")] = "all"
    fold_seed: Annotated[int, typer.Option(help="Which planets are together in a fold, and in validation.")] = 0
    planets: Annotated[int | None, typer.Option(min=3, help="Learn from only this many planets of a fold.")] = None
    validation: Annotated[float, typer.Option(help="Share of them that stops training and picks the best model.")] = (
        0.15
    )
    prior: Annotated[str, typer.Option(help="Over spectra: training, simulated, or checkpoint.")] = "training"
    surprise: Annotated[
        float | None,
        typer.Option(min=0.0, help="Its share for spectra unlike what it learned; else 0.05, or the checkpoint's own."),
    ] = None
    spectra: Annotated[str, typer.Option(help="Spectra swapped in: training or simulated.")] = "training"
    population: Annotated[str, typer.Option(help="Of simulated spectra and planets: 2024, 2025 or both.")] = "2024"
    population_width: Annotated[
        float,
        typer.Option(min=1.0, help="Times by which limb darkening and slow drift are less alike than the curves say."),
    ] = 1.0
    without: Annotated[
        list[str] | None, typer.Option(help="A molecule that no simulated spectrum has; more by repeating.")
    ] = None
    unlike_spectra: Annotated[
        float, typer.Option(help="Share of simulated spectra swapped in that are of other atmospheres.")
    ] = 0.0
    groups: Annotated[
        int,
        typer.Option(min=0, help="Groups of training planets; each sees a prior learned from the others."),
    ] = 5
    real_noise: Annotated[float, typer.Option(help="Share of examples with the error that their fit really has.")] = 0.0
    swap: Annotated[float, typer.Option(help="Share of examples with another planet's spectrum.")] = 1.0
    swap_width: Annotated[float, typer.Option(help="How far its mean depth may be off, in ln.")] = 0.2
    mix: Annotated[float, typer.Option(help="Share of spectra that are a mean of two.")] = 0.0
    feature_scale: Annotated[float, typer.Option(help="1 sigma of ln of a factor on spectral features.")] = 0.0
    level_shift: Annotated[float, typer.Option(help="1 sigma of ln of a factor on the depth.")] = 0.0
    draws: Annotated[
        int,
        typer.Option(
            min=1,
            help="Spectra and errors drawn for each planet of a batch; more than 1: residual only.",
        ),
    ] = 1
    simulate: Annotated[
        int | None,
        typer.Option(min=0, help="Instead of a dataset, this many simulated light curves; 0: always new ones."),
    ] = None
    fit_workers: Annotated[int, typer.Option(min=1, help="Processes for classical fits, done once and kept.")] = 1
    settings: ModelSettings = None
    loop: LoopOptions = field(default_factory=LoopOptions)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant together."""
        if self.population not in POPULATIONS:
            raise typer.BadParameter(f"population: expected 2024, 2025 or both, found {self.population!r}")
        if (self.dataset is None) == (self.simulate is None):
            raise typer.BadParameter("expected a dataset or --simulate N, and not both")
        if self.beside is not None and self.dataset is None:
            raise typer.BadParameter("--beside names a split of a dataset: expected one")
        if self.draws > 1 and self.physics == "none":
            raise typer.BadParameter(
                "--draws above 1 needs --physics residual: one light curve cannot show several spectra"
            )
        if self.simulate is not None and (self.physics != "none" or self.folds):
            raise typer.BadParameter(
                "--simulate makes light curves without fits and without end: it needs --physics "
                "none and --folds 0; for the rest write them once (ariel simulate OUT --fast)"
            )
