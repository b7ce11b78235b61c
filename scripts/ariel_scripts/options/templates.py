"""Options of `ariel templates`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class TemplatesOptions:
    """Make PSF templates of kept frames, for `ariel pretrain` and `finetune --architecture spectre --templates OUT`.

    FGS1's mean image and its derivatives by shifts, and AIRS-CH0's profile across the dispersion by wavelength.

    Example: ariel templates frames templates.safetensors
    """

    frames: Annotated[Path, typer.Argument(help="Folder of frames that ariel build-dataset --keep-frames wrote.")]
    out: Annotated[Path, typer.Argument(help="File for the templates.")]
    size: Annotated[int, typer.Option(min=3, help="Pixels a side, odd.")] = 11
