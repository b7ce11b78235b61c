"""Which of datatrove's engines runs a pipeline: processes of this machine, Slurm, Ray or Hugging Face Jobs.

https://github.com/huggingface/datatrove. Two engines use subclasses of its executors. An engine's
class is imported when it is chosen, because Ray is optional.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from datatrove.executor.base import PipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.logging import logger

ENGINES = {
    "local": "hf_dataset.build.process_executor.ProcessExecutor",
    "slurm": "datatrove.executor.slurm.SlurmPipelineExecutor",
    "ray": "hf_dataset.build.ray_executor.RayExecutor",
    "jobs": "datatrove.executor.jobs.JobsPipelineExecutor",
}
WAITS = ("local", "ray")  # their run() returns when the tasks are done; the others' when they are submitted


def check_name(engine: str) -> None:
    """ValueError if there is no such engine."""
    if engine not in ENGINES:
        raise ValueError(f"engine: expected one of {', '.join(ENGINES)}, found {engine!r}")


def check_installed(engine: str) -> None:
    """ValueError if this machine lacks what starts the engine."""
    if engine == "slurm" and shutil.which("sbatch") is None:
        raise ValueError("engine slurm: expected the command sbatch on this machine, found none in PATH")
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        raise ValueError("engine ray: expected the package ray, found none: pip install 'ariel-hf[ray]'")


def make_executor(
    engine: str,
    pipeline: Sequence[PipelineStep],
    tasks: int,
    workers: int,
    logging_dir: str,
    options: Mapping[str, Any] | None = None,
    depends: PipelineExecutor | None = None,
) -> PipelineExecutor:
    """The executor of an engine, not started. `options` are its own (partition, time, …) and win over the others.

    The tasks decide by themselves what is left to do, so datatrove's completion marks are not used. On Slurm what
    depends on failed jobs still runs (and reports what is missing), and no job waits for one that cannot run.
    """
    logger.disable("datatrove")  # in this process: what it would tell the user is not about light curves
    check_name(engine)
    module, name = ENGINES[engine].rsplit(".", 1)
    kind = getattr(importlib.import_module(module), name)
    known = set(inspect.signature(kind).parameters) - {"pipeline", "depends", "skip_completed"}
    if unknown := sorted(set(options or {}) - known):
        raise ValueError(f"engine {engine}: unknown option {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    arguments = {"tasks": tasks, "workers": workers, "logging_dir": logging_dir, **(options or {})}
    if engine == "slurm":
        if isinstance(time := arguments.get("time"), int):
            raise ValueError(
                f'engine slurm: time: expected text in quotes, such as "12:00:00", found the number {time} '
                "(YAML reads 12:00:00 as seconds, Slurm would take them as minutes)"
            )
        arguments = {"run_on_dependency_fail": True, **arguments}
        arguments["sbatch_args"] = {"kill-on-invalid-dep": "yes", **arguments.get("sbatch_args", {})}
    try:
        return kind(pipeline=list(pipeline), skip_completed=False, depends=depends, **arguments)
    except TypeError as error:
        raise ValueError(f"engine {engine}: {error}") from error
