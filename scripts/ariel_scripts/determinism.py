"""--deterministic: the same numbers from every run on a GPU, where algorithms that add in any order are faster."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # cuBLAS reads it when CUDA is first used
WORKSPACES = (":4096:8", ":16:8")  # those that torch calls deterministic


@contextlib.contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Within the block torch uses deterministic algorithms alone, if ``wanted``; on a CPU nothing changes.

    Raises:
        ValueError: the environment sets cuBLAS's workspace to one that is not deterministic.
        RuntimeError: of torch, in the block, where an operation has no deterministic algorithm on this device.
    """
    if not wanted:
        yield
        return
    before = os.environ.get(WORKSPACE)
    if before not in (None, *WORKSPACES):
        raise ValueError(f"{WORKSPACE}: expected {' or '.join(WORKSPACES)} with --deterministic, found {before!r}")
    os.environ[WORKSPACE] = before or WORKSPACES[0]
    algorithms, cudnn = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn
    benchmark, convolutions = cudnn.benchmark, cudnn.deterministic
    torch.use_deterministic_algorithms(True)
    cudnn.benchmark, cudnn.deterministic = False, True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms)
        cudnn.benchmark, cudnn.deterministic = benchmark, convolutions
        if before is None:
            del os.environ[WORKSPACE]
