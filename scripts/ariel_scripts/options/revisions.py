"""Options by which a model or a dataset on the Hub is read at one commit."""

from __future__ import annotations

from typing import Annotated

import typer

ModelRevision = Annotated[str | None, typer.Option("--revision", help="Branch, tag or commit of a model on the Hub.")]
DatasetRevision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a dataset on the Hub.")]
