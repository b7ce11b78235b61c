"""Options of `ariel calibrate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ariel_scripts.options.revisions import DatasetRevision, ModelClass, ModelRevision

METHODS = ("temperature", "groups", "conformal", "graph")


@dataclass(frozen=True)
class CalibrateOptions:
    """Calibrate a model's sigma on planets it wasn't trained on; draw coverage curves and z-score histograms.

    The calibrated model has the same weights and other buffers. Beside it stand calibration.json, coverage.png,
    coverage_map.png, z.png, coverage.csv (change by band) and quantiles.csv (by channel), but not the model's card,
    whose numbers no longer hold. The numbers after calibration are those of planets
    whose own truths were not used (folds by planet).

    Example: ariel calibrate runs/finetuned light-curves --split validation --out runs/calibrated
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
            "neighbouring channels and compared with conformal's."
        ),
    ] = "temperature"
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
        """Refuse a method that there is not."""
        if self.method not in METHODS:
            raise ValueError(f"--method: expected one of {', '.join(METHODS)}, found {self.method!r}")
