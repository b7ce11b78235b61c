"""Classical fits in several processes. Imports little, as each process imports it."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modeling_ariel.joint_fit import FitSettings
from modeling_ariel.retrieval import ClassicalFit, fit

WORKER_BYTES = 0.9e9  # measured: 0.6 GB with two visits of 375 bins
VISITS_PER_TASK = 2
WORTH_A_POOL = 64  # visits: processes take seconds to start


def free_bytes(device: torch.device) -> float:
    """Memory that is free on the device, or within the limit of this process's control group."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    names = os.sysconf_names
    pages = os.sysconf("SC_AVPHYS_PAGES") if "SC_AVPHYS_PAGES" in names else os.sysconf("SC_PHYS_PAGES") / 2
    free = float(pages * os.sysconf("SC_PAGE_SIZE"))
    try:
        group = Path("/sys/fs/cgroup")
        free = min(free, float((group / "memory.max").read_text()) - float((group / "memory.current").read_text()))
    except (OSError, ValueError):
        pass  # no such group, or "max"
    return free


class FitPool:
    """Processes that run classical fits; one worker is this process, 0 is one a core where memory allows."""

    def __init__(self, workers: int, visits: int) -> None:
        if not workers and visits < WORTH_A_POOL:
            workers = 1
        elif not workers:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            workers = max(1, min(cores, int(0.5 * free_bytes(torch.device("cpu")) / WORKER_BYTES)))
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> FitPool:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def fit(self, batch: dict[str, Tensor], wavelength: Tensor, settings: FitSettings | None = None) -> ClassicalFit:
        """Fits of a batch of visits, each the same in whatever company and process.

        Where algorithms must be deterministic they are fitted on the CPU: a GPU has no such median.
        """
        visits = len(batch["time"])
        alone = self.workers == 1 or visits <= VISITS_PER_TASK
        if alone and not torch.are_deterministic_algorithms_enabled():
            return fit(batch, wavelength, settings)
        device = batch["time"].device
        tasks = [
            {name: value[start : start + VISITS_PER_TASK].cpu().numpy() for name, value in batch.items()}
            for start in range(0, visits, VISITS_PER_TASK)
        ]
        each = map if alone else self._workers().map
        done = each(_fit_arrays, tasks, repeat(wavelength.cpu().numpy()), repeat(settings))
        return _joined(list(done), device)

    def _workers(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads
            self._pool = ProcessPoolExecutor(self.workers, context, initializer=_start_worker)
        return self._pool


def _start_worker() -> None:
    torch.set_num_threads(1)
    keep_memory()


def keep_memory() -> None:
    """Let this process keep what it frees, where the C library is glibc.

    A fit makes and frees thousands of arrays of megabytes. By default each goes back to the system and comes again,
    page by page, which takes a quarter of the time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mmap_threshold, trim_threshold, top_pad = -3, -1, -2  # glibc's malloc.h
    # older versions take no larger threshold than the first
    for name, value in (
        (mmap_threshold, 1 << 25),
        (mmap_threshold, 1 << 30),
        (trim_threshold, 1 << 30),
        (top_pad, 1 << 26),
    ):
        mallopt(name, value)


def _fit_arrays(batch: dict[str, np.ndarray], wavelength: np.ndarray, settings: FitSettings | None) -> dict[str, Any]:
    """Fits with NumPy arrays at both ends, which pass between processes without shared memory."""
    with torch.no_grad():
        curves = {name: torch.as_tensor(value) for name, value in batch.items()}
        found = fit(curves, torch.as_tensor(wavelength), settings)
    values = vars(found).items()
    return {name: value.numpy() if isinstance(value, Tensor) else value for name, value in values}


def _joined(parts: list[dict[str, Any]], device: torch.device) -> ClassicalFit:
    joined: dict[str, Any] = {}
    for name, first in parts[0].items():
        values = [part[name] for part in parts]
        joined[name] = (
            torch.as_tensor(np.concatenate(values)).to(device)
            if isinstance(first, np.ndarray)
            else [item for value in values for item in value]
        )
    return ClassicalFit(**joined)
