"""The training loop of both commands, on plain `accelerate`: what is drawn is a function of the seed and a number.

Example number k of a run is the same whatever the number of processes, their batches or a stop in between. So a run
that was stopped ends where it would have ended, and two processes give what one gives.
"""

from __future__ import annotations

import hashlib
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration, parse_flag_from_env
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import get_cosine_schedule_with_warmup

from ariel_scripts.invocation import current
from ariel_scripts.training.checkpoints import RunFolder
from ariel_scripts.versions import git_commit, versions
from hf_dataset.digests import config_hash

logger = logging.getLogger(__name__)

PRECISIONS = ("no", "bf16", "fp16")
Model = TypeVar("Model", bound=torch.nn.Module)
Evaluate = Callable[[Model, Accelerator], dict[str, float]]


@dataclass(frozen=True)
class LoopSettings:
    """How to train.

    Args:
        steps: optimizer steps.
        batch_size: examples in a step, over all processes and accumulated batches.
        accumulation: batches whose gradients are summed in a step.
        learning_rate, weight_decay: of AdamW; norms and biases do not decay.
        warmup: share of the steps in which the rate rises; it then falls as a cosine.
        clip: largest norm of the gradient.
        precision: "no", "bf16" or "fp16".
        evaluate_every: steps between evaluations, each followed by a checkpoint.
        patience: evaluations without a better result before it ends; 0 for never.
        minutes: after which it ends, with an evaluation; 0 for never. The schedule is that of ``steps``.
        keep: best models that are kept.
        objective: name of the evaluation's number that decides; ``sign`` -1 where less is better.
        tracker: "tensorboard", "none", or another that accelerate supports.
        workers: processes that prepare batches, for each training process.
        seed: of weights, examples, dropout and masks.
    """

    steps: int = 1000
    batch_size: int = 32
    accumulation: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    warmup: float = 0.05
    clip: float = 1.0
    precision: str = "no"
    evaluate_every: int = 100
    patience: int = 0
    minutes: float = 0.0
    keep: int = 1
    objective: str = "score_2024"
    sign: int = 1
    tracker: str = "tensorboard"
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Reject settings that cannot be meant."""
        for name in ("steps", "batch_size", "accumulation", "evaluate_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 1 or more, found {getattr(self, name)}")
        for name in ("weight_decay", "patience", "minutes", "workers"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected 0 or more, found {getattr(self, name)}")
        for name in ("learning_rate", "clip"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}: expected more than 0, found {getattr(self, name)}")
        if not 0.0 <= self.warmup < 1.0:
            raise ValueError(f"warmup: expected a share of the steps, 0 to 1, found {self.warmup}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, found {self.precision!r}")


@dataclass
class MicroBatches:
    """Numbers of the examples of each batch of one process, from optimizer step ``start`` to the last."""

    settings: LoopSettings
    rank: int
    processes: int
    start: int = 0

    def __post_init__(self) -> None:
        """Refuse a batch that cannot be dealt evenly: the mean over processes would not be that over examples."""
        parts = self.processes * self.settings.accumulation
        if self.settings.batch_size % parts:
            raise ValueError(
                f"batch_size: expected a multiple of {parts} ({self.processes} processes, {self.settings.accumulation} "
                f"accumulated batches), found {self.settings.batch_size}"
            )
        self.size = self.settings.batch_size // parts

    def __len__(self) -> int:
        """Batches of this process."""
        return (self.settings.steps - self.start) * self.settings.accumulation

    def __iter__(self) -> Iterator[list[int]]:
        """Lists of example numbers."""
        for step in range(self.start, self.settings.steps):
            for part in range(self.settings.accumulation):
                first = step * self.settings.batch_size + (part * self.processes + self.rank) * self.size
                yield list(range(first, first + self.size))


@runtime_checkable
class StreamedExamples(Protocol):
    """Examples that are read one after another."""

    def stream(self, batches: MicroBatches) -> Iterator[dict[str, Tensor]]:
        """A batch for each of ``batches``."""


Examples = Dataset[dict[str, Tensor]] | StreamedExamples


@dataclass
class Progress:
    """Where a run stands."""

    step: int = 0
    seconds: float = 0.0
    waiting: int = 0  # evaluations since the best
    best: list[dict[str, Any]] = field(default_factory=list)  # step, value; best first
    history: list[dict[str, float]] = field(default_factory=list)

    def add_evaluation(self, value: float, keep: int, sign: int) -> bool:
        """Count an evaluation; whether its model is among the ``keep`` best. A NaN is worse than any number."""

        def worth(one: float) -> float:
            return -math.inf if math.isnan(one) else sign * one

        first = not self.best or worth(value) > worth(self.best[0]["value"])
        self.waiting = 0 if first else self.waiting + 1
        self.best.append({"step": self.step, "value": value})
        self.best.sort(key=lambda entry: -worth(entry["value"]))
        self.best = self.best[:keep]
        return any(entry["step"] == self.step for entry in self.best)


def start_processes(expected: int | None) -> None:
    """Join the other processes, if any; patient, as one of them does the classical fits of a whole dataset.

    ``accelerate launch --cpu`` starts one process whatever number it was given, so the ``expected`` one is checked.
    """
    state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"), timeout=timedelta(hours=24))
    if expected is not None and state.num_processes != expected:
        raise ValueError(
            f"processes: expected {expected}, found {state.num_processes}; on CPU start them with "
            f"ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_machines 1 --num_processes {expected}"
        )


def make_accelerator(settings: LoopSettings, out: Path, processes: int | None) -> Accelerator:
    """An Accelerator, once it runs as many processes as are expected."""
    start_processes(processes)
    AcceleratorState._reset_state()  # an earlier run of this process may have had another precision
    accelerator = Accelerator(
        mixed_precision=settings.precision,
        log_with=None if settings.tracker == "none" else settings.tracker,
        project_config=ProjectConfiguration(project_dir=str(out), logging_dir=str(out / "logs")),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    if settings.precision == "fp16" and accelerator.device.type == "cpu":
        raise ValueError("precision: fp16 needs a GPU, on which accelerate scales gradients; use bf16 on CPU")
    if accelerator.device.type == "mps":
        raise ValueError("device: expected one with float64, found mps; set ACCELERATE_USE_CPU=true")
    return accelerator


def seed_step(seed: int, step: int, part: int = 0, rank: int = 0) -> None:
    """Seed dropout of one batch, so that a resumed run draws the same numbers."""
    torch.manual_seed((seed * 1_000_003 + step) * 4096 + part * 64 + rank)


def optimizer_of(model: torch.nn.Module, settings: LoopSettings) -> torch.optim.Optimizer:
    """AdamW over what is trained."""
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise ValueError("model: expected parameters to train, found all of them frozen")
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=settings.learning_rate)


def train(
    model: Model,
    examples: Examples,
    evaluate: Evaluate[Model],
    settings: LoopSettings,
    out: Path,
    record: dict[str, Any],
    save: Callable[[Model, Path], None],
    processes: int | None = None,
    stop_after: int | None = None,
) -> Progress:
    """Train a model whose forward gives a loss; its best state is saved in ``out / "model"``.

    Args:
        model: called with each batch as keywords.
        examples: ``examples[numbers]`` is the batch of these examples; or a stream of batches.
        evaluate: the numbers of a model, the same in every process, from the model and the Accelerator.
        settings: see :class:`LoopSettings`.
        out: folder of the run; one that was stopped there is continued.
        record: content of ``training.json`` besides the progress.
        save: writes a model into a folder.
        processes: how many there must be.
        stop_after: leave after this many steps, as if stopped.
    """
    return Loop(model, examples, evaluate, settings, out, record, save, processes).run(stop_after)


def digest_of(model: torch.nn.Module) -> str:
    """Hash of the weights that training starts from: another checkpoint under the same name is another run."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.named_parameters()):
        digest.update(name.encode() + weight.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class Loop(Generic[Model]):
    """One run of :func:`train`, step by step."""

    def __init__(
        self,
        model: Model,
        examples: Examples,
        evaluate: Evaluate[Model],
        settings: LoopSettings,
        out: Path,
        record: dict[str, Any],
        save: Callable[[Model, Path], None],
        processes: int | None = None,
    ):
        self.settings, self.folder, self.record = settings, RunFolder(Path(out)), record
        self.start = digest_of(model)
        self.examples, self.evaluate, self.save = examples, evaluate, save
        self.accelerator = make_accelerator(settings, self.folder.path, processes)
        if settings.minutes and self.accelerator.num_processes > 1:
            raise ValueError("minutes: expected one process, as several do not end at the same step: give steps")
        self.batches = MicroBatches(settings, self.accelerator.process_index, self.accelerator.num_processes)
        optimizer = optimizer_of(model, settings)
        self.scheduler = get_cosine_schedule_with_warmup(
            optimizer, max(round(settings.warmup * settings.steps), 1), settings.steps
        )
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.accelerator.register_for_checkpointing(self.scheduler)
        self.progress = Progress()
        self.sum, self.count = torch.zeros((), device=self.accelerator.device), 0

    def run(self, stop_after: int | None = None) -> Progress:
        """All steps that are left; ``stop_after`` ends as a stop would."""
        self._resume()
        self._start_tracker()
        if not self.progress.step:
            self._evaluate(None)  # what there is before training may be the best
        self.model.train()
        progress, settings, started = self.progress, self.settings, time.perf_counter() - self.progress.seconds
        batches = self._loader()
        while progress.step < settings.steps and not self._exhausted() and not self._late():
            norm = self._step(batches)
            progress.step += 1
            progress.seconds = time.perf_counter() - started
            ended = progress.step == settings.steps or self._late()
            if ended or progress.step % settings.evaluate_every == 0:
                self._evaluate(norm)
            elif progress.step % max(settings.evaluate_every // 5, 1) == 0:
                self._report(norm, {})
            if stop_after is not None and progress.step >= stop_after:
                break
        else:
            if self.accelerator.is_main_process:
                self.folder.finish(progress.best, progress.step, progress.seconds)
            self.accelerator.wait_for_everyone()
        self.accelerator.end_training()
        return progress

    def _resume(self) -> None:
        """Go on where a stopped run was."""
        values = self.folder.resume(self.accelerator, self._identity())
        if values is not None:
            self.progress = Progress(**values)
            logger.info("%s: resumed at step %d of %d", self.folder.path, self.progress.step, self.settings.steps)

    def _identity(self) -> str:
        """Hash of what a resumed run must have in common with the one that was stopped.

        Of a Hub repository the commit counts, not the branch or tag that it was found by.
        """
        free = ("workers", "tracker", "revision", "dataset_revision")
        loop = {name: value for name, value in asdict(self.settings).items() if name not in free}
        config = {name: value for name, value in self.record.get("config", {}).items() if name not in free}
        content = {name: self.record.get(name) for name in ("data", "base", "planets")}
        return config_hash({"loop": loop, "config": config, "start": self.start, **content})

    def _loader(self) -> Iterator[dict[str, Tensor]]:
        self.batches.start = self.progress.step
        if isinstance(self.examples, StreamedExamples):
            return iter(self.examples.stream(self.batches))
        workers = self.settings.workers
        loader = DataLoader(
            self.examples,
            sampler=self.batches,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            worker_init_fn=_one_thread,
        )
        return iter(loader)

    def _step(self, batches: Iterator[dict[str, Tensor]]) -> float:
        """One optimizer step; the norm of its gradient."""
        settings, accelerator = self.settings, self.accelerator
        for part in range(settings.accumulation):
            batch = {name: value.to(accelerator.device) for name, value in next(batches).items()}
            seed_step(settings.seed, self.progress.step, part, accelerator.process_index)
            last = part == settings.accumulation - 1
            if last:
                self._backward(batch)
            else:
                with accelerator.no_sync(self.model):
                    self._backward(batch)
        norm = accelerator.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.optimizer.step()
        if not accelerator.optimizer_step_was_skipped:
            self.scheduler.step()
        self.optimizer.zero_grad()
        return float(norm) if norm is not None else math.nan

    def _backward(self, batch: dict[str, Tensor]) -> None:
        with self.accelerator.autocast():
            loss = self.model(**batch).loss
        value = loss.detach().float()
        if not bool(torch.isfinite(value)):
            raise RuntimeError(f"step {self.progress.step}: expected a finite loss, found {float(value)}")
        self.accelerator.backward(loss / self.settings.accumulation)
        self.sum, self.count = self.sum + value, self.count + 1

    def _report(self, norm: float | None, metrics: dict[str, float]) -> None:
        """A row of the history: mean loss since the last, and what an evaluation found."""
        progress = self.progress
        row: dict[str, float] = {"step": progress.step, **metrics}
        if self.count and norm is not None:
            row["loss"] = float(self.accelerator.reduce(self.sum / self.count, "mean"))
            row |= {"learning_rate": self.scheduler.get_last_lr()[0], "gradient": norm}
        self.sum, self.count = torch.zeros_like(self.sum), 0
        progress.history.append({**row, "seconds": round(progress.seconds, 2)})
        self.accelerator.log({name: value for name, value in row.items() if name != "step"}, step=progress.step)
        if self.accelerator.is_main_process:
            shown = [name for name in row if name not in ("step", "learning_rate", "gradient")]
            found = in_words({name: row[name] for name in sorted(shown, key=lambda name: name != "loss")})
            logger.info("step %d/%d  %s  %.0f s", progress.step, self.settings.steps, found, progress.seconds)

    def _evaluate(self, norm: float | None) -> None:
        """Scores, the best models and a checkpoint."""
        model = self.accelerator.unwrap_model(self.model)
        model.eval()
        with torch.no_grad():
            metrics = self.evaluate(model, self.accelerator)
        self.model.train()
        if self.settings.objective not in metrics:
            raise ValueError(f"objective: expected one of {', '.join(metrics)}, found {self.settings.objective!r}")
        self._report(norm, metrics)
        value = metrics[self.settings.objective]
        if (
            self.progress.add_evaluation(value, self.settings.keep, self.settings.sign)
            and self.accelerator.is_main_process
        ):
            self.folder.keep_model(model, self.save, self._record(), [entry["step"] for entry in self.progress.best])
        if self.progress.step:
            self.folder.checkpoint(self.accelerator, self._identity(), asdict(self.progress))

    def _late(self) -> bool:
        """Whether its time is over."""
        return bool(self.settings.minutes) and self.progress.seconds >= 60.0 * self.settings.minutes

    def _exhausted(self) -> bool:
        """Whether patience is at its end."""
        return bool(self.settings.patience) and self.progress.waiting >= self.settings.patience

    def _record(self) -> dict[str, Any]:
        progress = self.progress
        evaluations = [row for row in progress.history if self.settings.objective in row]
        return {
            "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            **self.record,
            "loop": asdict(self.settings),
            "processes": self.accelerator.num_processes,
            "threads": torch.get_num_threads(),
            "device": str(self.accelerator.device),
            "step": progress.step,
            "seconds": round(progress.seconds, 1),
            "evaluation": evaluations[-1] if evaluations else {},
            "versions": versions(),
            "git_commit": git_commit(),
            **({} if (running := current()) is None else {"invocation": running.record()}),
        }

    def _start_tracker(self) -> None:
        if self.settings.tracker != "none":
            plain = {
                name: value for name, value in asdict(self.settings).items() if isinstance(value, int | float | str)
            }
            self.accelerator.init_trackers("ariel", plain)


def in_words(metrics: Mapping[str, float]) -> str:
    """Numbers by name, as a line of the log."""
    return "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())


def _one_thread(_worker: int) -> None:
    """Preparing processes share the cores with training."""
    torch.set_num_threads(1)
