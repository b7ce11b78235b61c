"""Options of `ariel retrieve`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ariel_scripts.options.revisions import DatasetRevision


@dataclass(frozen=True)
class RetrieveOptions:
    """Fit light curves and write predicted spectra, one row a planet.

    Visits of a planet are combined. A planet whose fit fails gets the prior with a wide sigma and its status says so.

    Example: ariel retrieve light-curves --out run/predictions.parquet --prior dataset
    """

    dataset: Annotated[str, typer.Argument(help="Dataset folder or Hub id of light curves.")]
    out: Annotated[Path, typer.Option(help="Predictions, as .parquet, .csv or .npz; run.json is written beside it.")]
    split: Annotated[str, typer.Option(help="Split to retrieve.")] = "train"
    dataset_revision: DatasetRevision = None
    prior: Annotated[
        str,
        typer.Option(
            help="none, simulated, dataset (its labels, K-fold by planet; 20 planets or more), or a safetensors FILE."
        ),
    ] = "simulated"
    mixture: Annotated[
        bool, typer.Option(help="Let feature sizes differ from planet to planet, and some be unlike any known.")
    ] = True
    save_prior: Annotated[Path | None, typer.Option(help="Write the prior learned from all labels here.")] = None
    folds: Annotated[int, typer.Option(help="Folds of --prior dataset.", min=2)] = 5
    drift: Annotated[str, typer.Option(help="joint (separable) or channel (each by itself).")] = "joint"
    telescope: Annotated[
        str,
        typer.Option(
            help="What is usual for its visits (slow noise, clocks, star tables): default, learned from at most 300 of "
            "these visits, which are fitted twice, or a FILE of --save-telescope."
        ),
    ] = "default"
    save_telescope: Annotated[Path | None, typer.Option(help="Write what was taken for usual here, as JSON.")] = None
    batch: Annotated[int, typer.Option(help="Visits in memory at a time.", min=1)] = 16
    limit: Annotated[int | None, typer.Option(help="At most this many planets.")] = None
    seed: Annotated[int, typer.Option(help="Of the folds and of the simulated prior.")] = 0
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be retrieved; write nothing.")] = False

    def record(self) -> dict[str, Any]:
        """What decides the result."""
        names = ("dataset", "dataset_revision", "split", "prior", "mixture", "folds", "drift", "telescope")
        return {name: getattr(self, name) for name in (*names, "limit", "seed")}
