"""Options that `pretrain` and `finetune` share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ariel_scripts.command_line import Run, run_record
from ariel_scripts.opening.hub import OPTION, Located, locate_dataset, locate_model

Out = Annotated[Path, typer.Option(help="Folder of the run: model, checkpoints, history.json, run.json.")]
Steps = Annotated[int, typer.Option(min=1, help="Optimizer steps.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Examples in a step, over all processes.")]
Accumulation = Annotated[int, typer.Option(min=1, help="Batches whose gradients are summed in a step.")]
LearningRate = Annotated[float, typer.Option(help="Highest learning rate; it then falls as a cosine.")]
WeightDecay = Annotated[float, typer.Option(help="Of AdamW; not on norms and biases.")]
Warmup = Annotated[float, typer.Option(help="Share of the steps in which the learning rate rises.")]
Clip = Annotated[float, typer.Option(help="Largest norm of the gradient.")]
Precision = Annotated[str, typer.Option(help="no (float32), bf16 or fp16.")]
EvaluateEvery = Annotated[int, typer.Option(min=1, help="Steps between evaluations; each writes a checkpoint.")]
Patience = Annotated[int, typer.Option(min=0, help="Evaluations without a better one before it stops; 0: never.")]
Keep = Annotated[int, typer.Option(min=1, help="Best models kept under best/.")]
Tracker = Annotated[str, typer.Option(help="tensorboard, none, or another that accelerate knows (wandb, trackio, …).")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that prepare batches; 0: in the training process.")]
Processes = Annotated[int | None, typer.Option(min=1, help="How many processes there must be; refuses another number.")]
Seed = Annotated[int, typer.Option(min=0, help="Of weights, examples, noise, masks and dropout.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE of the model's config; may be repeated.")]
Restart = Annotated[bool, typer.Option("--restart", help="Begin anew; else a stopped run in OUT goes on.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be trained on; write nothing.")]

_LOOP = (
    "steps",
    "batch_size",
    "accumulation",
    "learning_rate",
    "weight_decay",
    "warmup",
    "clip",
    "precision",
    "evaluate_every",
    "patience",
    "keep",
    "tracker",
    "workers",
    "seed",
)


def loop_settings(values: Mapping[str, Any], objective: str, sign: int) -> Any:
    """LoopSettings of a command's options."""
    from ariel_scripts.training.loop import LoopSettings

    return LoopSettings(objective=objective, sign=sign, **{name: values[name] for name in _LOOP})


def config_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options that decide a result, for records and for going on with a run."""
    free = {"out", "restart", "dry_run", "processes", "fit_workers", "workers"}
    return {name: str(v) if isinstance(v, Path) else v for name, v in values.items() if name not in free}


def locate(values: Mapping[str, Any]) -> tuple[Located | None, Located | None]:
    """The dataset and the checkpoint to start from, where there are any, each at one commit for the whole run.

    ValueError where one is not there, or where there is a revision of nothing.
    """
    for kind, revision in (("dataset", "dataset_revision"), ("model", "revision")):
        if values[kind] is None and values[revision] is not None:
            raise ValueError(f"{OPTION[kind]} {values[revision]}: expected a {kind} on the Hub, found none given")
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return _located(values)
    from accelerate.utils import broadcast_object_list

    from ariel_scripts.training.loop import start_processes

    start_processes(values["processes"])
    found = list(_located(values)) if is_main_process() else [None, None]
    broadcast_object_list(found)  # two that ask the Hub may be told two commits
    if is_main_process():
        return found[0], found[1]
    dataset, base = found
    commits = {"dataset_revision": dataset and dataset.commit, "revision": base and base.commit}
    return _located({**values, **commits})


def _located(values: Mapping[str, Any]) -> tuple[Located | None, Located | None]:
    return (
        None if values["dataset"] is None else locate_dataset(values["dataset"], values["dataset_revision"]),
        None if values["model"] is None else locate_model(values["model"], values["revision"]),
    )


def is_main_process() -> bool:
    """Whether this is the process that writes, before an Accelerator knows."""
    return int(os.environ.get("RANK", "0")) == 0


@contextlib.contextmanager
def training_record(out: Path, command: str, config: dict[str, Any], seed: int) -> Iterator[Run]:
    """`run_record` in the process that writes, nothing in the others."""
    if not is_main_process():
        yield Run(command, config, seed)
        return
    with run_record(out, command, config, seed) as run:
        yield run
