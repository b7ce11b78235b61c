"""Set-up of both training commands: dataset and checkpoint, the loop's settings, the record of a run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from accelerate.utils import broadcast_object_list

from ariel_scripts.opening.hub import OPTION, Located, locate_dataset, locate_model
from ariel_scripts.opening.penalties import read_penalties
from ariel_scripts.options.fields import taken, values_of
from ariel_scripts.options.training_loop import LoopOptions
from ariel_scripts.run_record import Run, run_record
from ariel_scripts.training.loop import LoopSettings, start_processes
from hf_dataset.digests import file_hash

_FREE = {"out", "restart", "dry_run", "processes", "fit_workers", "workers"}


class TrainingOptions(Protocol):
    """What the options of every training command have."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def dataset(self) -> str | None:
        """Folder or Hub id."""

    @property
    def dataset_revision(self) -> str | None:
        """Branch, tag or commit of the dataset."""

    @property
    def model(self) -> str | None:
        """Checkpoint to start from."""

    @property
    def revision(self) -> str | None:
        """Branch, tag or commit of the checkpoint."""

    @property
    def loop(self) -> LoopOptions:
        """How long, and from which seed."""


def loop_settings(options: LoopOptions, objective: str, sign: int) -> LoopSettings:
    """Settings of the loop; ``objective`` is the evaluation's number that decides, ``sign`` -1 where less is better."""
    return taken(LoopSettings, options, objective=objective, sign=sign)


def config_of(options: TrainingOptions) -> dict[str, Any]:
    """Options that decide a result, for records and for resuming a run."""
    values = {name: value for name, value in values_of(options).items() if name not in _FREE}
    if values.get("penalties") is not None:
        values["penalties"] = read_penalties(values["penalties"])  # the rules decide, not where they are read
    if values.get("templates") is not None:
        values["templates"] = file_hash(values["templates"])
    return {name: str(v) if isinstance(v, Path) else v for name, v in values.items()}


def locate(options: TrainingOptions) -> tuple[Located | None, Located | None]:
    """The dataset and the checkpoint to start from, if any, each at one commit for the whole run.

    ValueError where one is missing, or a revision is given without it.
    """
    given = {
        "dataset": (options.dataset, options.dataset_revision),
        "model": (options.model, options.revision),
    }
    for kind, (name, revision) in given.items():
        if name is None and revision is not None:
            raise ValueError(f"{OPTION[kind]} {revision}: expected a {kind} on the Hub, found none given")
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return _located(options)
    start_processes(options.loop.processes)
    found = [*_located(options)] if is_main_process() else [None, None]
    broadcast_object_list(found)  # asked twice, the Hub may answer with two commits
    dataset, base = found
    if is_main_process():
        return dataset, base
    dataset_commit = None if dataset is None else dataset.commit
    base_commit = None if base is None else base.commit
    return _located(replace(options, dataset_revision=dataset_commit, revision=base_commit))


def _located(options: TrainingOptions) -> tuple[Located | None, Located | None]:
    dataset, model = options.dataset, options.model
    return (
        None if dataset is None else locate_dataset(dataset, options.dataset_revision),
        None if model is None else locate_model(model, options.revision),
    )


def is_main_process() -> bool:
    """Whether this is the process that writes, before there is an Accelerator."""
    return int(os.environ.get("RANK", "0")) == 0


@contextlib.contextmanager
def training_record(out: Path, command: str, config: dict[str, Any], seed: int) -> Iterator[Run]:
    """`run_record` in the process that writes, nothing in the others."""
    if not is_main_process():
        yield Run(command, config, seed)
        return
    with run_record(out, command, config, seed) as run:
        yield run
