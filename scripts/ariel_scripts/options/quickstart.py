"""Options of `ariel quickstart`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class QuickstartOptions:
    """Simulate raw planets, build the dataset, get spectra, score, write a submission, and draw a page of it all.

    Run again, it continues where it stopped.

    Example: ariel quickstart quickstart
    """

    out: Annotated[Path, typer.Argument(help="Folder for everything that is made.")] = Path("quickstart")
    planets: Annotated[int, typer.Option(min=2, help="Labelled planets with reduced frames.")] = 12
    test_planets: Annotated[int, typer.Option(min=1, help="Planets to submit, their labels hidden.")] = 4
    frames: Annotated[int, typer.Option(help="AIRS frames of a reduced planet; a real one has 11250.")] = 1500
    full: Annotated[bool, typer.Option(help="Also one planet with all its frames.")] = True
    seed: Annotated[int, typer.Option(min=0)] = 0
