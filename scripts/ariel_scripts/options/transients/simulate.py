"""Options of `ariel transients simulate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class SimulateOptions:
    """Simulate tidal disruption events, supernovae and AGN as LSST would see them: a raw folder for the build.

    The truths, of the test objects too, are in OUT's simulation_truth.csv. 1,000 objects take about 20 seconds.

    Example: ariel transients simulate raw --objects 300 --test-objects 100 --seed 7
    """

    out: Annotated[Path, typer.Argument(help="New folder to write.")]
    objects: Annotated[int, typer.Option(min=1, help="Objects with labels and spectroscopic redshifts.")] = 300
    test_objects: Annotated[int, typer.Option(min=0, help="Objects without labels, with photometric redshifts.")] = 100
    seasons: Annotated[int, typer.Option(min=1, help="Years that a field is observed.")] = 6
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same objects and light curves.")] = 0
