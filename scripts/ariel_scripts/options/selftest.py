"""Options of `ariel selftest`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer


@dataclass(frozen=True)
class SelftestOptions:
    """Check the installation: libraries, transit model, score, and one planet from raw frames to its depth.

    Example: ariel selftest
    """

    deep: Annotated[
        bool,
        typer.Option("--deep", help="Also classes, released checkpoint, configurations, a submission and schemas."),
    ] = False
