"""Options of `ariel predict`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from ariel_scripts.options.revisions import DatasetRevision, ModelClass, ModelRevision
from ariel_scripts.options.training_loop import Deterministic


@dataclass(frozen=True)
class PredictOptions:
    """Predict spectra with a trained model, one row a planet, all of its visits together.

    An interrupted run continues where it stopped. A planet whose fit fails gets the prior's answer and its status says
    so; one whose light curves can't be read is reported and left out.

    Example: ariel predict light-curves --model released --out run/predictions.parquet --split test
    """

    dataset: Annotated[str, typer.Argument(help="Dataset folder or Hub id of light curves.")]
    out: Annotated[
        Path, typer.Option(help="Predictions, as .parquet, .csv or .npz; a run record is written beside it.")
    ]
    model: Annotated[
        list[str],
        typer.Option(help="Model folder or Hub id, or released; several times for an ensemble."),
    ] = field(default_factory=lambda: ["released"])
    revision: ModelRevision = None
    architecture: ModelClass = None
    split: Annotated[str, typer.Option(help="Split to predict.")] = "train"
    dataset_revision: DatasetRevision = None
    batch: Annotated[
        str,
        typer.Option(help="Planets at a time, or auto: what fits into half of the memory."),
    ] = "auto"
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …, or auto.")] = "auto"
    samples: Annotated[int, typer.Option(help="Monte Carlo dropout samples of each model; 0 for none.", min=0)] = 0
    workers: Annotated[int, typer.Option(help="Processes for the classical fits; 0: one a core.", min=0)] = 0
    limit: Annotated[int | None, typer.Option(help="At most this many planets.", min=1)] = None
    seed: Annotated[int, typer.Option(help="Of the dropout samples.", min=0)] = 0
    deterministic: Deterministic = False
    adapt: Annotated[
        bool,
        typer.Option("--adapt", help="Adapt the model to these light curves first, as `ariel adapt`; kept beside."),
    ] = False
    strict: Annotated[bool, typer.Option("--strict", help="Exit with an error where a planet was refused.")] = False
    restart: Annotated[bool, typer.Option("--restart", help="Forget the parts of an interrupted run.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be predicted; write nothing.")] = False
