"""Options of `ariel verify`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class VerifyOptions:
    """Check a finished dataset against its manifests: files, hashes, every row, splits, settings, card, raw files.

    --rewrite-card is for a dataset of an earlier version, or a card that was edited by mistake: title, wavelengths,
    provenance and how the rows were made are kept, all else is read off the shards, which must be sound. It also takes
    light curves of `ariel simulate --fast`, which have no manifests.

    Exit codes: 0 sound, 1 differences (each is printed: what, expected, found), 2 wrong usage or no dataset there.

    Example: ariel verify light-curves --root ariel-data-challenge-2025

    Example: ariel verify light-curves --rewrite-card
    """

    out: Annotated[str, typer.Argument(help="Folder or URL (s3://…) of a dataset of `ariel build-dataset`.")]
    root: Annotated[
        Path | None,
        typer.Option(help="Raw folder to compare too; by default the recorded one, if still there."),
    ] = None
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Sizes, counts and ids only: no hashes, no values."),
    ] = False
    rewrite_card: Annotated[
        bool,
        typer.Option("--rewrite-card", help="First write README.md, dataset.json, croissant.json and sample again."),
    ] = False
