"""What of several commands is finished: stages.json, by hashes of settings, inputs and results.

`ariel study`, `ariel curriculum` and `ariel ablate` run their commands through it: one that is up to date is not run
again, one that was stopped goes on, one whose settings or inputs have changed begins anew.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ariel_scripts.content import content_of, plain
from ariel_scripts.invocation import inputs_of
from ariel_scripts.options.roles import role
from hf_dataset import folders

logger = logging.getLogger(__name__)

RECORD = "stages.json"
FREE = frozenset(("workers", "fit_workers", "processes", "restart", "dry_run"))  # how fast, not what
RESUMES = frozenset(
    ("build-dataset", "finetune", "predict", "pretrain", "report")
)  # in a folder that a stopped run left
NEW, CHANGED, LOST, STOPPED = "new", "changed", "its result", "stopped"

Decided = Mapping[str, Any]


def decided(command: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides what a command with these options leaves: settings, and the content of what it reads.

    Where the content lies does not: a folder that was moved is no reason to run again.
    """
    inputs = inputs_of(command, values)
    settings = {
        name: plain(value)
        for name, value in values.items()
        if name not in FREE and name not in inputs and role(command, name) != "writes"
    }
    hashes = {name: [one.get("sha256", one["given"]) for one in found] for name, found in inputs.items()}
    return {"command": command, "settings": settings, "inputs": hashes}


@dataclass(frozen=True)
class Reason:
    """Why something must be run: ``kind``, and in words."""

    kind: str
    words: str


class Ledger:
    """The record of what is finished in the folder ``out``."""

    def __init__(self, out: Path) -> None:
        self.path = out / RECORD

    @property
    def done(self) -> dict[str, dict[str, Any]]:
        """What is known of finished stages, by their names."""
        found: dict[str, dict[str, Any]] = self._record().get("done", {})
        return found

    def why(self, name: str, wanted: Decided, result: Path) -> Reason | None:
        """Why the stage must be run; None where it is up to date."""
        record = self._record()
        known, begun = record.get("done", {}).get(name), record.get("begun", {}).get(name)
        if known is None:
            if begun is None:
                return Reason(NEW, "new")
            found = differences(begun, wanted)
            return Reason(CHANGED, f"changed: {found}") if found else Reason(STOPPED, "was stopped")
        if found := differences(known["decided"], wanted):
            return Reason(CHANGED, f"changed: {found}")
        content = content_of(result)
        if content != known["content"]:
            return Reason(LOST, "its result is gone" if content is None else "its result is not what it left")
        return None

    def run(
        self,
        name: str,
        wanted: Decided,
        result: Path,
        folder: Path,
        action: Callable[[bool], object],
        restart: bool = False,
    ) -> dict[str, Any]:
        """Run ``action``, which leaves ``result`` in ``folder``, and write that the stage is finished.

        What an earlier run left in the folder is removed, and ``action`` told so, unless it was stopped, is the same
        and goes on where it was. ValueError where it leaves nothing, or the folder holds what no stage has left.
        """
        reason = self.why(name, wanted, result) or Reason(STOPPED, "")
        restart |= reason.kind in (CHANGED, LOST)
        if reason.kind == NEW and not restart and folder.is_dir() and any(folder.iterdir()):
            raise ValueError(f"{folder}: expected a new folder for {name}, found one that {self.path} does not know")
        if restart or wanted["command"] not in RESUMES:
            _remove(folder)
        record = self._record()
        done = {key: one for key, one in record.get("done", {}).items() if key != name}
        begun = {key: one for key, one in record.get("begun", {}).items() if key != name}
        folders.write_json(self.path, {"done": done, "begun": {**begun, name: wanted}}, indent=2)
        start = time.perf_counter()
        action(restart)
        content = content_of(result)
        if content is None:
            raise ValueError(f"{name}: expected it to leave {result}, found nothing")
        found = {"command": wanted["command"], "decided": wanted, "result": str(result), "content": content}
        found["seconds"] = round(time.perf_counter() - start, 1)
        folders.write_json(self.path, {"done": {**done, name: found}, "begun": begun}, indent=2)
        return found

    def _record(self) -> dict[str, Any]:
        found = folders.read_json(self.path) or {}
        return found if all("decided" in one for one in found.get("done", {}).values()) else {}


def _remove(folder: Path) -> None:
    """Delete what an earlier run left; ValueError where the folder is a link, whose target may be anybody's."""
    if folder.is_symlink():
        raise ValueError(f"{folder}: expected a folder to be written anew, found a link to {folder.resolve()}")
    if folder.exists():
        shutil.rmtree(folder)


def differences(then: Decided, now: Decided) -> str:
    """What differs between what decided a stage then and now, in words; empty where nothing does."""
    if then["command"] != now["command"]:
        return f"command {then['command']} → {now['command']}"
    old, new = then["settings"], now["settings"]
    words = [
        f"{name} {old.get(name)} → {new.get(name)}" for name in sorted({*old, *new}) if old.get(name) != new.get(name)
    ]
    old, new = then["inputs"], now["inputs"]
    words += [f"what {name} holds" for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return ", ".join(words)
