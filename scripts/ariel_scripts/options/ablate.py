"""Options of `ariel ablate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

SEARCHES = ("grid", "random", "halving")


@dataclass(frozen=True)
class AblateOptions:
    """Train variants of a model on the same folds and rank them: a leaderboard, and the best as a zip.

    PLAN is YAML: `options` of `ariel finetune` that all share (a `config` list names files below them), named
    `variants` and lists to `vary`; every variant is crossed with all of what varies. `rules` names a file of physics
    rules (configs/objective.yaml) by which all of them are judged. What has run is not run again.
    Variants are chosen by their validation planets; the leaderboard is of held-out ones.

    Example: ariel ablate configs/architectures.yaml --dataset light-curves --out ablation
    """

    plan: Annotated[Path, typer.Argument(help="YAML of options, variants, vary.")]
    dataset: Annotated[str | None, typer.Option(help="Dataset folder or Hub id; else the plan's.")] = None
    out: Annotated[Path, typer.Option(help="Folder of runs and leaderboard (.md, .html, .csv, .json).")] = Path(
        "ablation"
    )
    search: Annotated[str, typer.Option(help="grid, random, or halving (the best third of each round goes on).")] = (
        "grid"
    )
    trials: Annotated[int, typer.Option(min=1, help="Variants of a random search.")] = 10
    first: Annotated[str, typer.Option(help="Folds that all variants are trained on, by commas; all.")] = "all"
    finalists: Annotated[int, typer.Option(min=0, help="The best so many are trained on the other folds too.")] = 0
    top: Annotated[int, typer.Option(min=0, help="The best so many go into top.zip.")] = 1
    seed: Annotated[int, typer.Option(min=0, help="Of a random search.")] = 0
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the variants; train none.")] = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.search not in SEARCHES:
            raise typer.BadParameter(f"search: expected one of {', '.join(SEARCHES)}, found {self.search!r}")
        if self.first != "all" and not all(part.isdigit() for part in self.first.split(",")):
            raise typer.BadParameter(f"first: expected all, or numbers by commas, found {self.first!r}")
