"""Options of `ariel space`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer


@dataclass(frozen=True)
class SpaceOptions:
    """Open the demo in a browser: spectra with their error bars, on simulated planets or a dataset of your own.

    Needs the extra `space`. The first start simulates the sample (two minutes); Ctrl-C ends it.

    Example: ariel space --model runs/labelled --dataset light-curves
    """

    model: Annotated[str | None, typer.Option(help="Folder or Hub id of a model; default: the released one.")] = None
    dataset: Annotated[str | None, typer.Option(help="Folder or Hub id; default: simulated planets.")] = None
    model_revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the model.")] = None
    dataset_revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the dataset.")] = None
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: the first free one from 7860 on.")] = None
