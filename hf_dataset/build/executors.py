"""Which of datatrove's engines runs a pipeline: processes of this machine, Slurm, Ray or Hugging Face Jobs.

https://github.com/huggingface/datatrove. Its own local executor hangs for ever when a worker is killed (a
multiprocessing.Pool loses the task) and leaves orphans when it is killed itself, so the local one here runs the same
tasks on `concurrent.futures`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from datatrove.executor.base import PipelineExecutor
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.logging import logger
from datatrove.utils.stats import PipelineStats

ENGINES = {
    "local": "hf_dataset.build.executors.ProcessExecutor",
    "slurm": "datatrove.executor.slurm.SlurmPipelineExecutor",
    "ray": "hf_dataset.build.ray_executor.RayExecutor",
    "jobs": "datatrove.executor.jobs.JobsPipelineExecutor",
}
WAITS = ("local", "ray")  # their run() returns when the tasks are done; the others' when they are submitted
SINGLE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class WorkerKilled(RuntimeError):
    """A worker process ended without a word: killed, most often by a lack of memory."""


def check_name(engine: str) -> None:
    """ValueError where no engine is called so."""
    if engine not in ENGINES:
        raise ValueError(f"engine: expected one of {', '.join(ENGINES)}, found {engine!r}")


def check_installed(engine: str) -> None:
    """ValueError where this machine lacks what the engine is started with."""
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
    depends on failed jobs runs all the same (it says what is missing), and no job waits for what will never be.
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


class ProcessExecutor(LocalPipelineExecutor):
    """datatrove's local executor on a pool of processes that survives interruption.

    A killed worker raises WorkerKilled; workers end at once, in the middle of a task too, when this process is
    interrupted, fails or is killed.
    """

    def run(self) -> PipelineStats:
        """Run the tasks and return their statistics."""
        self._launched = True
        ranks = self.get_incomplete_ranks()
        context = multiprocessing.get_context(self.start_method)
        alive_reader, alive = context.Pipe(duplex=False)
        pool = ProcessPoolExecutor(
            min(self.workers, len(ranks)), context, initializer=_start_worker, initargs=(alive_reader,)
        )
        try:
            with _interrupts_held():
                if self.start_method == "forkserver":
                    _start_forkserver([type(step).__module__ for step in self.pipeline])
                futures = [pool.submit(self._run_for_rank, rank, 1) for rank in ranks]
            stats = sum((future.result() for future in as_completed(futures)), start=PipelineStats())
            pool.shutdown()
            return stats
        except BrokenProcessPool as error:
            raise WorkerKilled("a worker process was killed (out of memory?)") from error
        finally:
            alive.close()
            pool.shutdown(cancel_futures=True)


def _start_worker(alive: Connection) -> None:
    """Leave interrupts to the parent, end with it, and keep datatrove's log off the user's screen."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logger.disable("datatrove")
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()


def _end_with_parent(alive: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        alive.recv()
    os._exit(1)


def _start_forkserver(modules: list[str]) -> None:
    """Start the server that workers are forked from: `modules` imported, one thread a library, deaf to Ctrl-C.

    Workers inherit all three, the last by the mask of blocked signals.
    """
    saved = {name: os.environ.get(name) for name in SINGLE_THREAD}
    os.environ.update(dict.fromkeys(SINGLE_THREAD, "1"))
    resource_tracker.ensure_running()  # unblocks signals when it starts
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        forkserver.set_forkserver_preload(modules)
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        for name, value in saved.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """A Ctrl-C that comes during the block is raised after it: a worker half started can't be stopped cleanly."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler or signal.default_int_handler)
    if came:
        raise KeyboardInterrupt
