"""Options of `ariel transients features`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class FeaturesOptions:
    """Features of every object of a dataset: Gaussian process, colours, black body, variability, …

    OUT/features.parquet has a row an object and draw of its redshift. The same command continues after a stop.

    Example: ariel transients features transients features --draws 3
    """

    dataset: Annotated[str, typer.Argument(help="Dataset of transients: folder or Hub id.")]
    out: Annotated[Path, typer.Argument(help="Folder for the table.")]
    draws: Annotated[
        int, typer.Option(min=0, help="More rows for each object, whose redshifts have the error of photometric ones.")
    ] = 3
    seed: Annotated[int, typer.Option(min=0, help="Of the redshifts' errors.")] = 0
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one a core.")] = 0
