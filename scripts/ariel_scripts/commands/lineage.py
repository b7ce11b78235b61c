"""`ariel lineage FILE`: what a result was made of, back to raw files, and whether it is still there and the same."""

from __future__ import annotations

import json

import typer

from ariel_scripts.options.lineage import LineageOptions
from ariel_scripts.reproduction.lineage import lineage
from ariel_scripts.reproduction.tree import as_text, as_values


def main(options: LineageOptions) -> None:
    """Print the lineage; with --strict exit with an error where something is not as recorded."""
    root = lineage(options.file, options.deep)
    typer.echo(json.dumps(as_values(root), indent=1, ensure_ascii=False) if options.json else as_text(root))
    if options.strict and root.wrong():
        raise typer.Exit(1)
