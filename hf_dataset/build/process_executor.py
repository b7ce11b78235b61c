"""datatrove's local executor on `concurrent.futures`, so that a killed worker is noticed and none outlives the build.

datatrove's own hangs when a worker is killed (a multiprocessing.Pool loses the task), and leaves orphans when it is
killed itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.utils.logging import logger
from datatrove.utils.stats import PipelineStats

SINGLE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class WorkerKilled(RuntimeError):
    """A worker process was killed, most often for lack of memory."""


class ProcessExecutor(LocalPipelineExecutor):
    """datatrove's local executor on a pool of processes that survives interruption.

    A killed worker raises WorkerKilled. Workers end at once, even in the middle of a task, when this process is
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
    """Leave interrupts to the parent, end with it, and keep datatrove's log off the screen."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logger.disable("datatrove")
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()


def _end_with_parent(alive: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        alive.recv()
    os._exit(1)


def _start_forkserver(modules: list[str]) -> None:
    """Start the server that workers are forked from: `modules` imported, one thread per library, Ctrl-C ignored.

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
    """A Ctrl-C that comes during the block is raised after it: a half-started worker can't be stopped cleanly."""
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
