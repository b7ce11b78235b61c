"""Options of `ariel adapt`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ariel_scripts.options.revisions import DatasetRevision, ModelClass, ModelRevision


@dataclass(frozen=True)
class AdaptOptions:
    """Adapt a model to light curves without labels: those of a test split, or an observer's own nights.

    What is usual for the telescope (slow noise, clocks, errors of star tables) is learned from any number of visits,
    populations of orbit, limb darkening and drift from 20 with a star table, or 20 without; and which sizes of
    features the planets have. Visits are fitted twice. adaptation.json says from what.

    Example: ariel adapt light-curves --split test --model released --out run/adapted
    """

    dataset: Annotated[str, typer.Argument(help="Dataset folder or Hub id of light curves.")]
    out: Annotated[Path, typer.Option(help="Folder for the adapted model; new.")]
    model: Annotated[str, typer.Option(help="Model folder or Hub id, or released.")] = "released"
    revision: ModelRevision = None
    architecture: ModelClass = None
    split: Annotated[str, typer.Option(help="Split to adapt to.")] = "test"
    dataset_revision: DatasetRevision = None
    visits: Annotated[int, typer.Option(help="Visits from which on no more planets are fitted.", min=1)] = 300
    workers: Annotated[int, typer.Option(help="Processes for the classical fits; 0: one a core.", min=0)] = 0
    limit: Annotated[int | None, typer.Option(help="At most this many planets.", min=1)] = None
