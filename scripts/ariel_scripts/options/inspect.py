"""Options of `ariel inspect`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class InspectOptions:
    """Show one visit on one page: is it sound, where is the transit, what to worry about; curves, noise, raw images.

    With --out FILE.png one PNG instead. Example: ariel inspect light-curves 342072318
    """

    dataset: Annotated[str, typer.Argument(help="Dataset folder or URL of `ariel build-dataset`.")]
    planet: Annotated[int, typer.Argument(help="planet_id.")]
    visit: Annotated[int, typer.Option(help="Visit number.")] = 0
    root: Annotated[
        Path | None,
        typer.Option(help="Raw folder, for the images; by default the recorded one, if still there."),
    ] = None
    out: Annotated[Path | None, typer.Option(help="Page, or PNG, to write (planet_ID_visit_N.html).")] = None
