"""Options of `ariel transients download`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class DownloadOptions:
    """Download the MALLORN challenge through the Kaggle CLI.

    Example: ariel transients download data/mallorn --dry-run
    """

    out: Annotated[Path, typer.Argument(help="Folder to fetch into; becomes a raw folder.")]
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the command, fetch nothing.")] = False
