"""`ariel map`: every command, what it reads and writes, and the documents about it."""

from __future__ import annotations

import typer

from ariel_scripts.options.map import MapOptions
from ariel_scripts.reproduction.command_map import as_json, as_markdown, command_map


def main(options: MapOptions) -> None:
    """Print the table."""
    entries = command_map()
    typer.echo(as_json(entries) if options.json else as_markdown(entries))
