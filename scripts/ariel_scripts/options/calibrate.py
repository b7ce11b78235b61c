"""Options of `ariel calibrate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ariel_scripts.options.revisions import DatasetRevision, ModelClass, ModelRevision
from ariel_scripts.plugins import CONFORMAL, plugins

METHODS = ("temperature", "groups", "conformal", "graph")
ONE_SIGMA = 0.3173  # share of a normal distribution beyond one standard deviation


@dataclass(frozen=True)
class CalibrateOptions:
    """Calibrate a model's sigma on planets it wasn't trained on; draw coverage curves and z-score histograms.

    The calibrated model has the same weights and other buffers. Beside it stand calibration.json, coverage.png,
    coverage_map.png, z.png, coverage.csv (change by band) and quantiles.csv (by channel), but not the model's card,
    whose numbers no longer hold. The numbers after calibration are those of planets
    whose own truths were not used (folds by planet).

    Example: ariel calibrate runs/finetuned light-curves --split validation --out runs/calibrated

    Example: ariel calibrate MODEL light-curves --method conformal --apply run/test.parquet --alpha 0.1 --out runs/c
    """

    model: Annotated[str, typer.Argument(help="Model folder or Hub id.")]
    dataset: Annotated[str, typer.Argument(help="Dataset folder or Hub id with true spectra.")]
    out: Annotated[Path, typer.Option(help="Folder for the calibrated model; new.")]
    split: Annotated[str, typer.Option(help="Split of validation planets.")] = "validation"
    dataset_revision: DatasetRevision = None
    method: Annotated[
        str,
        typer.Option(
            help="temperature: one factor on sigma; groups: one for each group of channels; "
            "conformal: sigma as it is, intervals' half-widths alone; graph: so too, half-widths learned over "
            "neighbouring channels and compared with conformal's; or one of another package."
        ),
    ] = "temperature"
    apply: Annotated[
        Path | None,
        typer.Option(
            help="Predictions of this model, of other planets, in which sigma is replaced by q sigma, q the conformal "
            "half-width at --alpha: mu ± sigma then holds the truth with probability 1 - alpha. Once."
        ),
    ] = None
    alpha: Annotated[
        float,
        typer.Option(help="Of --apply; at 0.3173 q sigma is one standard deviation, as scores take it."),
    ] = ONE_SIGMA
    n_groups: Annotated[
        int,
        typer.Option(help="Groups of AIRS channels, FGS1 apart; 0: the molecular bands.", min=0),
    ] = 0
    predictions: Annotated[
        Path | None,
        typer.Option(help="Predictions of this model for these planets, to spare predicting."),
    ] = None
    validation_only: Annotated[
        bool,
        typer.Option(
            "--validation-only",
            help="Of the split, only what training.json calls validation planets.",
        ),
    ] = False
    folds: Annotated[int, typer.Option(help="Folds by planet for the numbers after calibration.", min=2)] = 5
    samples: Annotated[int, typer.Option(help="Dropout samples, as in later predictions.", min=0)] = 0
    revision: ModelRevision = None
    architecture: ModelClass = None
    batch: Annotated[str, typer.Option(help="Planets at a time, or auto.")] = "auto"
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto"
    workers: Annotated[int, typer.Option(help="Processes for the classical fits; 0: one a core.", min=0)] = 0
    limit: Annotated[int | None, typer.Option(help="At most this many planets.", min=1)] = None
    seed: Annotated[int, typer.Option(help="Of folds and samples.", min=0)] = 0
    restart: Annotated[bool, typer.Option("--restart", help="Forget the parts of an interrupted run.")] = False

    def __post_init__(self) -> None:
        """Refuse a method that there is not, and q sigma of a method that has no q of each channel."""
        own = list(plugins(CONFORMAL, METHODS))
        if self.method not in (*METHODS, *own):
            raise ValueError(f"--method: expected one of {', '.join((*METHODS, *own))}, found {self.method!r}")
        if self.apply is not None and self.method not in ("conformal", *own):
            raise ValueError(f"--apply: expected --method {' or '.join(('conformal', *own))}, found {self.method}")
        if not 0.0 < self.alpha < 1.0:
            raise ValueError(f"--alpha: expected a number between 0 and 1, found {self.alpha:g}")
