"""Options by which a model or a dataset on the Hub is read at one commit, and a model by a class of anybody's own."""

from __future__ import annotations

from typing import Annotated

import typer

ModelRevision = Annotated[str | None, typer.Option("--revision", help="Branch, tag or commit of a model on the Hub.")]
ModelClass = Annotated[
    str | None, typer.Option("--architecture", help="package.Class of a model that is not this package's.")
]
DatasetRevision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a dataset on the Hub.")]
