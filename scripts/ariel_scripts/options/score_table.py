"""Options of `ariel score-table`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class ScoreTableOptions:
    """Score retrievals on simulated light curves, one for each given spectrum, in folds by planet.

    The limit rows use the simulator's own noise and drift, so no fit that does not know them should beat them.

    Example: ariel score-table ariel-data-challenge-2024/train_labels.csv --out score-table
    """

    truths: Annotated[
        Path,
        typer.Argument(help="CSV of spectra, planet_id, wl_1 … wl_283 (train_labels.csv)."),
    ]
    out: Annotated[Path, typer.Option(help="Folder for table.md, table.json, run.json.")] = Path("score-table")
    planets: Annotated[int | None, typer.Option(help="Only the first N planets.")] = None
    folds: Annotated[int, typer.Option(min=2)] = 5
    bins: Annotated[int, typer.Option(help="Time bins a visit.")] = 375
    seed: Annotated[int, typer.Option(help="Of the simulation, the folds and the bootstrap.")] = 0
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run; write nothing.")] = False
