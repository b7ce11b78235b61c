"""Options of training that `pretrain` and `finetune` share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

RunFolderOption = Annotated[Path, typer.Option(help="Folder of the run: model, checkpoints, history.json, run.json.")]
ModelSettings = Annotated[
    list[str] | None,
    typer.Option("--set", help="NAME=VALUE of the model's config; may be repeated."),
]

Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="On a GPU: only algorithms that give the same numbers every time.")
]


@dataclass(frozen=True)
class LoopOptions:
    """How long, in what steps and from which seed a model is trained; what is kept of the run."""

    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps.")] = 2000
    batch_size: Annotated[int, typer.Option(min=1, help="Examples in a step, over all processes.")] = 32
    accumulation: Annotated[int, typer.Option(min=1, help="Batches whose gradients are summed in a step.")] = 1
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate; it then falls as a cosine.")] = 1e-3
    weight_decay: Annotated[float, typer.Option(help="Of AdamW; not on norms and biases.")] = 0.02
    warmup: Annotated[float, typer.Option(help="Share of the steps in which the learning rate rises.")] = 0.05
    clip: Annotated[float, typer.Option(help="Largest norm of the gradient.")] = 1.0
    precision: Annotated[str, typer.Option(help="no (float32), bf16 or fp16.")] = "no"
    evaluate_every: Annotated[int, typer.Option(min=1, help="Steps between evaluations; each writes a checkpoint.")] = (
        100
    )
    patience: Annotated[
        int,
        typer.Option(min=0, help="Evaluations without a better one before it stops; 0: never."),
    ] = 0
    minutes: Annotated[float, typer.Option(min=0.0, help="End after so many minutes of training; 0: never.")] = 0.0
    keep: Annotated[int, typer.Option(min=1, help="Best models kept under best/.")] = 1
    tracker: Annotated[
        str,
        typer.Option(help="tensorboard, none, or another that accelerate supports (wandb, trackio, …)."),
    ] = "tensorboard"
    workers: Annotated[
        int,
        typer.Option(min=0, help="Processes that prepare batches; 0: in the training process."),
    ] = 0
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="How many processes there must be; refuses another number."),
    ] = None
    seed: Annotated[int, typer.Option(min=0, help="Of weights, examples, noise, masks and dropout.")] = 0
    deterministic: Deterministic = False
    restart: Annotated[bool, typer.Option("--restart", help="Start over; else a stopped run in OUT continues.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be trained on; write nothing.")] = False
