"""Options of `ariel download`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

COMPETITIONS = {"2024": "ariel-data-challenge-2024", "2025": "ariel-data-challenge-2025"}


@dataclass(frozen=True)
class DownloadOptions:
    """Download the challenge through the Kaggle CLI: everything, or tables and chosen planets file by file.

    Example: ariel download data/2025 --year 2025 --planet 342072318 --dry-run
    """

    out: Annotated[Path, typer.Argument(help="Folder to fetch into; becomes a raw challenge folder.")]
    year: Annotated[str, typer.Option(help="2024 or 2025.")] = "2025"
    planet: Annotated[list[int] | None, typer.Option(help="Only this planet (and the tables); repeatable.")] = None
    split: Annotated[str, typer.Option(help="Split the planets are in: train or test.")] = "train"
    visits: Annotated[int, typer.Option(help="Visits to fetch of each planet, 2025 layout.")] = 1
    dry_run: Annotated[bool, typer.Option(help="Print the commands, fetch nothing.")] = False

    def __post_init__(self) -> None:
        """Refuse a year or a split that there is not."""
        if self.year not in COMPETITIONS:
            raise typer.BadParameter(f"year: expected one of {', '.join(COMPETITIONS)}, found {self.year}")
        if self.split not in ("train", "test"):
            raise typer.BadParameter(f"split: expected train or test, found {self.split}")
