"""Options of `ariel events`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class EventsOptions:
    """Read an events file: how often each command ran, how long, which configurations, and what failed.

    Where the environment variable ARIEL_EVENTS names a file, every command adds a line of JSON to it when it ends:
    time, command, hash of its configuration, commit, seed, seconds, outcome, numbers. Damaged lines are named and left
    out.

    Example: ariel events runs/events.jsonl --out runs/history
    """

    file: Annotated[Path | None, typer.Argument(help="Events file, or its folder; else that of ARIEL_EVENTS.")] = None
    out: Annotated[Path | None, typer.Option(help="Folder for events.md, events.csv and events.png, a heatmap.")] = None
    command: Annotated[str | None, typer.Option(help="Of this command alone, as `transients build`.")] = None
    csv: Annotated[bool, typer.Option("--csv", help="Print the events as CSV, not the table of commands.")] = False
