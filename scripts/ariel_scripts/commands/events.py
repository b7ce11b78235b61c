"""`ariel events [FILE]`: what commands ran, how long, and how they ended."""

from __future__ import annotations

import logging

import typer

from ariel_scripts.events import NAME, VARIABLE, place
from ariel_scripts.options.events import EventsOptions
from ariel_scripts.reproduction.history import as_csv, as_markdown, heatmap, read_history

logger = logging.getLogger(__name__)


def main(options: EventsOptions) -> None:
    """Print the table of commands, or the events as CSV; write all forms to a folder."""
    path = options.file or place()
    if path is None:
        raise ValueError(f"expected an events file, or {VARIABLE} that names one, found neither")
    history = read_history(path / NAME if path.is_dir() else path, options.command)
    for text in history.damaged:
        logger.warning("%s; left out", text)
    if not history.events:
        raise ValueError(f"{path}: expected events{f' of {options.command}' if options.command else ''}, found none")
    typer.echo(as_csv(history) if options.csv else as_markdown(history), nl=False)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "events.md").write_text(as_markdown(history), encoding="utf-8")
        (options.out / "events.csv").write_text(as_csv(history), encoding="utf-8")
        heatmap(history).savefig(options.out / "events.png", dpi=130)
