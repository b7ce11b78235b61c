"""Options of `ariel run`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from ariel_scripts.durations import seconds_of
from ariel_scripts.options.revisions import ModelClass, ModelRevision


@dataclass(frozen=True)
class RunOptions:
    """From a raw challenge folder to a validated submission, within a time budget.

    Builds, predicts and submits in turns, some planets at a time, as `build-dataset`, `predict` and `submit` do. From
    the first seconds on OUT/submission.csv is valid: planets not reached have the usual spectrum and a wide sigma.
    Where the budget is too short a faster mode is chosen. A stopped run continues.

    Example: ariel run /kaggle/input/ariel-data-challenge-2025 --out /kaggle/working/run --budget 8h30m
    """

    root: Annotated[Path, typer.Argument(help="Raw challenge folder, 2024 or 2025 layout.")]
    out: Annotated[Path, typer.Option(help="Folder for dataset, predictions and submission.csv.")]
    budget: Annotated[
        str | None,
        typer.Option(help="Time that this call may take: 9h, 45m, 1h30m, 90s. Without it: what it needs."),
    ] = None
    split: Annotated[str, typer.Option(help="Split to predict.")] = "test"
    sample: Annotated[
        Path | None,
        typer.Option(help="Planets to submit. By default of split test ROOT/sample_submission.csv, else all planets."),
    ] = None
    model: Annotated[
        list[str], typer.Option(help="Model folder or Hub id, or released; several times for an ensemble.")
    ] = field(default_factory=lambda: ["released"])
    revision: ModelRevision = None
    architecture: ModelClass = None
    mode: Annotated[str, typer.Option(help="auto: the best that the budget allows; or one to begin with: full, …")] = (
        "auto"
    )
    bins: Annotated[int | None, typer.Option(help="Time bins a visit (375).", min=1)] = None
    workers: Annotated[int, typer.Option(help="Processes, about 1 GB each; 0: one a core.", min=0)] = 0
    batch: Annotated[str, typer.Option(help="Planets at a time in the prediction, or auto.")] = "auto"
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …, or auto.")] = "auto"
    samples: Annotated[int, typer.Option(help="Monte Carlo dropout samples of each model; 0 for none.", min=0)] = 0
    seed: Annotated[int, typer.Option(help="Of the dropout samples.", min=0)] = 0
    restart: Annotated[bool, typer.Option("--restart", help="Delete what an earlier run left in OUT.")] = False

    def __post_init__(self) -> None:
        """The budget counts from here, and is read here: the libraries that a run needs are imported later, and take
        seconds. ValueError where it is none."""
        object.__setattr__(self, "_read_at", time.monotonic())
        object.__setattr__(self, "_budget_s", None if self.budget is None else seconds_of(self.budget))

    @property
    def budget_s(self) -> float | None:
        """The budget in seconds; None for no end."""
        seconds: float | None = vars(self)["_budget_s"]
        return seconds

    @property
    def age(self) -> float:
        """Seconds since these options were read."""
        return time.monotonic() - float(vars(self)["_read_at"])
