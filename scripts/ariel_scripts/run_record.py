"""The record of a run, run.json: what was asked for, by which code, where, how it ended and how long it took."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ariel_scripts.content import content_of, without_passwords
from ariel_scripts.invocation import Invocation, current
from ariel_scripts.machine import machine, peak_memory_mb
from ariel_scripts.versions import git_commit, lock_hash, versions
from hf_dataset import folders
from hf_dataset.digests import config_hash
from hf_dataset.folders import Folder


@dataclasses.dataclass
class Run:
    """What `run.json` will hold; `metrics` is filled by the command, `status` is that of a run without errors.

    ``left`` is where its result lies when it ends, if not where the option `out` says.
    """

    command: str
    config: dict[str, Any]
    seed: int | None = None
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)
    durations: dict[str, float] = dataclasses.field(default_factory=dict)
    status: str = "done"
    commit: str | None = dataclasses.field(default_factory=git_commit)  # of the code that is loaded
    started: datetime = dataclasses.field(default_factory=lambda: datetime.now(UTC))
    invocation: Invocation | None = dataclasses.field(default_factory=current)
    left: Folder | None = None

    def __post_init__(self) -> None:
        """Tell the command that is running, and note what it reads before it changes anything."""
        if self.invocation is not None:
            self.invocation.runs.append(self)
            self.invocation.inputs  # noqa: B018 - hashed now, and kept

    def record(self, status: str | None = None) -> dict[str, Any]:
        """The content of `run.json` as of now, with this ``status`` or the run's own."""
        record = {
            "command": self.command,
            "command_line": [os.fsencode(word).decode(errors="replace") for word in sys.argv],
            "status": status or self.status,
            "started": self.started.isoformat(timespec="seconds"),
            "config": self.config,
            "config_hash": config_hash(self.config),
            "seeds": [] if self.seed is None else [self.seed],
            "versions": versions(),
            "git_commit": self.commit,
            "lock_hash": lock_hash(),
            **machine(),
            "peak_memory_mb": peak_memory_mb(),
            "durations": {key: round(value, 3) for key, value in self.durations.items()},
            "metrics": self.metrics,
            **({} if self.invocation is None else {"invocation": self.invocation.record()}),
        }
        return {name: without_passwords(value) for name, value in record.items()}

    def outputs(self) -> dict[str, dict[str, str]]:
        """What it left, by its path, with its content; empty where the command says no `out`."""
        out = None if self.invocation is None else getattr(self.invocation.options, "out", None)
        place = self.left or (None if out is None else folders.folder(out))
        content = content_of(place) if isinstance(place, Path) else None
        return {} if content is None else {str(out): content}

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the seconds spent in the block to `durations[name]`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.durations[name] = self.durations.get(name, 0.0) + time.perf_counter() - start


def write_json(path: Folder, content: Any) -> None:
    """Write JSON whole or not at all."""
    folders.write_json(path, content, indent=2)


@contextlib.contextmanager
def run_record(
    out_dir: Folder,
    command: str,
    config: dict[str, Any],
    seed: int | None = None,
    name: str = "run.json",
) -> Iterator[Run]:
    """Write `out_dir/run.json` when the block ends, also when it fails (`status` says how)."""
    run, status = Run(command, config, seed), "failed"
    try:
        with run.timed("total"):
            yield run
        status = run.status
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        left = {} if status in ("failed", "interrupted") else {"outputs": run.outputs()}
        write_json(out_dir / name, run.record(status) | left)
