"""The events file read: how often, how long and with what outcome commands ran, as Markdown, CSV and a heatmap."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ariel_scripts.content import plain

GOOD = ("done", "incomplete", "submitted")
COLUMNS = ("time", "command", "outcome", "seconds", "seed", "config_hash", "commit", "error", "metrics")
_NEEDED: dict[str, type | tuple[type, ...]] = {
    "time": str,
    "command": str,
    "outcome": str,
    "seconds": (int, float),
    "config_hash": str,
}
_MOST_DAYS = 31
_HASHES = 3  # of a command in the table


@dataclass
class History:
    """The events of a file, in its order, and what was wrong with lines that are left out."""

    events: list[dict[str, Any]] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    @property
    def commands(self) -> dict[str, list[dict[str, Any]]]:
        """Events by command, the most frequent first."""
        found: dict[str, list[dict[str, Any]]] = {}
        for event in self.events:
            found.setdefault(event["command"], []).append(event)
        return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def read_history(path: Path, command: str | None = None) -> History:
    """The events of a file, of one command if it is named; damaged lines are named and left out.

    ValueError where there is no such file.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ValueError(f"{path}: expected an events file (ARIEL_EVENTS), found: {error.strerror}") from error
    found = History()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = _event(line)
        except ValueError as error:
            found.damaged.append(f"{path}: line {number}: {error}")
            continue
        if command in (None, event["command"]):
            found.events.append(event)
    return found


def _event(line: bytes) -> dict[str, Any]:
    """The event of a line; ValueError that says what is wrong with it."""
    try:
        event = json.loads(line)
    except ValueError:
        raise ValueError("expected JSON, found other text or a part of a line") from None
    if not isinstance(event, dict):
        raise ValueError(f"expected an event, found {type(event).__name__}")
    wrong = [name for name, kind in _NEEDED.items() if not isinstance(event.get(name), kind)]
    if wrong:
        raise ValueError(f"{wrong[0]}: expected in an event, found {event.get(wrong[0])!r}")
    try:
        datetime.fromisoformat(event["time"])
    except ValueError:
        raise ValueError(f"time: expected a date and time, found {event['time']!r}") from None
    return event


def as_markdown(history: History) -> str:
    """A row a command: runs, outcomes, durations, configurations; then the failures."""
    lines = [
        "| command | runs | failed | interrupted | median s | longest s | total h | configurations | last |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for command, events in history.commands.items():
        seconds = [event["seconds"] for event in events]
        outcomes = [event["outcome"] for event in events]
        hashes = list(dict.fromkeys(event["config_hash"] for event in reversed(events)))
        more = f" and {len(hashes) - _HASHES} more" if len(hashes) > _HASHES else ""
        cells = (
            *(f"{command}", len(events), outcomes.count("failed"), outcomes.count("interrupted")),
            *(f"{statistics.median(seconds):.1f}", f"{max(seconds):.1f}", f"{sum(seconds) / 3600:.2f}"),
            *(", ".join(hashes[:_HASHES]) + more, f"{events[-1]['outcome']}, {events[-1]['time'][:19]}"),
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    failures = [event for event in history.events if event["outcome"] not in GOOD]
    lines += ["", *(_failure(event) for event in failures)] if failures else []
    return "\n".join(lines) + "\n"


def _failure(event: dict[str, Any]) -> str:
    said = str(event.get("error", "")).replace("|", "\\|")
    return f"- {event['time'][:19]} {event['command']} ({event['config_hash']}) {event['outcome']}: {said}".rstrip(": ")


def as_csv(history: History) -> str:
    """A row an event; metrics as JSON."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({**event, "metrics": json.dumps(plain(event.get("metrics", {})))} for event in history.events)
    return text.getvalue()


def heatmap(history: History) -> Figure:
    """Median seconds by command and day, with the number of runs, and of those that did not end well, in each cell."""
    days = sorted({event["time"][:10] for event in history.events})[-_MOST_DAYS:]
    commands = [name for name, events in history.commands.items() if any(one["time"][:10] in days for one in events)]
    cells = {
        (row, column): [one for one in history.commands[command] if one["time"][:10] == day]
        for row, command in enumerate(commands)
        for column, day in enumerate(days)
    }
    seconds = np.full((len(commands), len(days)), np.nan)
    for place, events in cells.items():
        if events:
            seconds[place] = max(statistics.median(one["seconds"] for one in events), 0.1)
    figure = Figure(figsize=(2.8 + 0.75 * max(len(days), 3), 1.6 + 0.36 * len(commands)), layout="constrained")
    axes = figure.add_subplot()
    low, high = np.nanmin(seconds), np.nanmax(seconds)
    image = axes.imshow(seconds, cmap="cividis", norm=LogNorm(low, max(high, 10 * low)), aspect="auto")
    for (row, column), events in cells.items():
        if events:
            bad = _count_bad(events)
            axes.text(
                column,
                row,
                f"{len(events)}" + (f" ({bad}✗)" if bad else ""),
                ha="center",
                va="center",
                color="black" if seconds[row, column] > 10 ** (np.log10(low * max(high, 10 * low)) / 2) else "white",
                weight="bold" if bad else "normal",
            )
    axes.set_yticks(range(len(commands)), commands)
    axes.set_xticks(range(len(days)), [day[5:] for day in days], rotation=45 if len(days) > 8 else 0)
    axes.set_xlabel(f"day (UTC), {days[0][:4]}" if days[0][:4] == days[-1][:4] else f"day, from {days[0]}")
    axes.set_title("runs a day (✗: failed, interrupted)", loc="left", fontsize=10)
    figure.colorbar(image, ax=axes, label="median duration [s]")
    return figure


def _count_bad(events: Sequence[dict[str, Any]]) -> int:
    return sum(event["outcome"] not in GOOD for event in events)
