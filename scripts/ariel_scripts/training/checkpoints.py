"""The folder of a training run; every file is written whole or not at all.

history.json     loss and scores, a row a report       logs      what the tracker writes
best/step-…      the best models so far                model     the best of all, with training.json
state            for resuming
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from accelerate import Accelerator
from torch import nn

from ariel_scripts.run_record import write_json

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class RunFolder:
    """The folder ``path`` of one run."""

    path: Path

    def best(self, step: int) -> Path:
        """Where the model of a step is kept."""
        return self.path / "best" / f"step-{step:06d}"

    def keep_model(
        self, model: Model, save: Callable[[Model, Path], None], record: dict[str, Any], steps: Sequence[int]
    ) -> None:
        """Write the model of ``record["step"]`` with its training.json, and drop those of steps not in ``steps``."""
        folder = self.best(record["step"])
        new = folder.with_name(f".{folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        save(model, new)
        write_json(new / "training.json", record)
        _replace(new, folder)
        kept = {self.best(step).name for step in steps}
        for other in folder.parent.iterdir():
            if other.name not in kept:
                shutil.rmtree(other)

    def checkpoint(self, accelerator: Accelerator, identity: str, progress: dict[str, Any]) -> None:
        """Write the state that resuming needs; ``identity``: hash of the settings."""
        state, new, old = (self.path / name for name in ("state", ".state.new", ".state.old"))
        main = accelerator.is_main_process
        if main:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(new))
        accelerator.wait_for_everyone()
        if main:
            write_json(new / "progress.json", {"identity": identity, **progress})
            write_json(self.path / "history.json", progress["history"])
            shutil.rmtree(old, ignore_errors=True)
            if state.exists():
                os.replace(state, old)
            os.replace(new, state)
            shutil.rmtree(old, ignore_errors=True)
        accelerator.wait_for_everyone()

    def resume(self, accelerator: Accelerator, identity: str) -> dict[str, Any] | None:
        """Progress of the run that was stopped here, its state loaded; None where there is none."""
        found = [self.path / name for name in ("state", ".state.old")]  # the second: stopped between two renamings
        state = next((folder for folder in found if folder.exists()), None)
        if state is None:
            return None
        progress: dict[str, Any] = json.loads((state / "progress.json").read_text())
        if progress.pop("identity") != identity:
            raise ValueError(
                f"{self.path}: expected the run that was stopped there, found one with other settings, data or start; "
                "choose another folder or --restart (a branch of the Hub that moved on: name the commit that "
                f"{self.path / 'best'} has in training.json)"
            )
        accelerator.load_state(str(state))
        return progress

    def finish(self, best: Sequence[dict[str, Any]], steps: int, seconds: float) -> None:
        """Copy the best model, with the record of the whole run."""
        new = self.path / ".model.new"
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(self.best(best[0]["step"]), new)
        record = json.loads((new / "training.json").read_text())
        write_json(
            new / "training.json", record | {"steps_run": steps, "seconds": round(seconds, 1), "best": list(best)}
        )
        _replace(new, self.path / "model")

    def add_to_record(self, entries: dict[str, Any]) -> None:
        """Write what is known of the finished model only after training into its training.json."""
        path = self.path / "model" / "training.json"
        write_json(path, json.loads(path.read_text()) | entries)

    def clear(self) -> None:
        """Remove what a run has left, and nothing else."""
        for name in ("state", ".state.new", ".state.old", "best", "model", ".model.new", "logs"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        (self.path / "history.json").unlink(missing_ok=True)


def _replace(new: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(new, folder)
