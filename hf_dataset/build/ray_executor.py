"""datatrove's Ray executor with one task per Ray worker, so that a killed worker is noticed.

datatrove's own runs each task in a multiprocessing.Pool inside a Ray actor: a task that the system kills leaves the
pool, and with it the build, waiting for ever; a task's error is only logged, and the build continues. ray is imported
inside functions: this module can be imported without it.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from typing import Any

from datatrove.executor.ray import RayPipelineExecutor
from datatrove.utils.stats import PipelineStats

from hf_dataset.build.process_executor import SINGLE_THREAD, WorkerKilled

ATTEMPTS = 2  # a task whose worker or node died is given to another once


class RayExecutor(RayPipelineExecutor):
    """datatrove's Ray executor: the same options and tasks, but errors are raised.

    A task's error is raised here; a worker or node that dies twice under the same task raises WorkerKilled. Either way,
    or when this process is interrupted or killed, the other tasks end. The cluster is the one of RAY_ADDRESS, else
    one that runs on this machine, else Ray starts one of this machine's cores.
    """

    def run(self) -> PipelineStats:
        """Run the tasks and return their statistics."""
        import ray

        if not ray.is_initialized():
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
        task = ray.remote(_run).options(**self._resources())
        shared, waiting = ray.put(self), self.get_incomplete_ranks()
        running: dict[Any, int] = {}
        attempts, stats = Counter[int](), PipelineStats()
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    rank = waiting.pop(0)
                    attempts[rank] += 1
                    running[task.remote(shared, rank)] = rank
                [done], _ = ray.wait(list(running), num_returns=1)
                rank = running.pop(done)
                try:
                    stats += ray.get(done)
                except ray.exceptions.RayTaskError as error:
                    if isinstance(error.cause, (ValueError, OSError, RuntimeError)):
                        raise error.cause from error
                    raise RuntimeError(f"a Ray task failed: {type(error.cause).__name__}: {error.cause}") from error
                except ray.exceptions.RayError as error:
                    if attempts[rank] == ATTEMPTS:
                        what = f"a Ray worker was killed {ATTEMPTS} times in the same task (out of memory?)"
                        raise WorkerKilled(f"{what}: {type(error).__name__}") from error
                    waiting.append(rank)
        finally:
            for left in running:
                ray.cancel(left, force=True)
        return stats

    def _resources(self) -> dict[str, Any]:
        """Resources of a task; ValueError if no node has them, since Ray would wait for ever."""
        import ray

        memory = int(self.mem_per_cpu_gb * self.cpus_per_task * (1 << 30))
        asked = {"CPU": self.cpus_per_task, "GPU": self.gpus_per_task, "memory": memory}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(all(node.get(name, 0) >= amount for name, amount in asked.items()) for node in nodes):
            raise ValueError(f"engine ray: no node has what a task asks for: expected {asked}, found {nodes}")
        return {
            "num_cpus": self.cpus_per_task,
            "num_gpus": self.gpus_per_task,
            "memory": memory,
            "max_retries": 0,
            "scheduling_strategy": "SPREAD",
            "runtime_env": {"env_vars": dict.fromkeys(SINGLE_THREAD, "1")},
            **(self.ray_remote_kwargs or {}),
        }


def _run(executor: RayExecutor, rank: int) -> PipelineStats:
    """One task, on a node of the cluster."""
    import ray

    os.environ["ARIEL_NODE"] = f"ray-{ray.get_runtime_context().get_node_id()[:8]}"
    return executor._run_for_rank(rank)
