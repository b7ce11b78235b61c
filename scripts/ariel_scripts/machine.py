"""On what a run took place: host, processors, GPUs, container image, and how much memory it took."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]

IMAGE_DIGEST = "ARIEL_IMAGE_DIGEST"  # the environment variable in which whoever starts a container names its image
_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes; of ru_maxrss


def machine() -> dict[str, Any]:
    """Host, platform, processor, GPUs and CUDA, image digest; null where there is none or it isn't known.

    GPUs are known where torch is imported already: a command that computes on one has imported it.
    """
    return {
        "host": platform.node(),
        "platform": platform.platform(),
        "cpu": {"model": _cpu_model(), "count": os.cpu_count()},
        **_gpus(),
        "image_digest": os.environ.get(IMAGE_DIGEST) or None,
    }


def peak_memory_mb() -> dict[str, float] | None:
    """Most memory that this process had, and the largest of its children that have ended [MB]; None on Windows."""
    if resource is None:
        return None
    whose = {"process": resource.RUSAGE_SELF, "largest_child": resource.RUSAGE_CHILDREN}
    return {name: round(resource.getrusage(who).ru_maxrss * _PEAK_UNIT / 1e6, 1) for name, who in whose.items()}


def _cpu_model() -> str | None:
    """The processor's name: Linux tells it in /proc/cpuinfo alone, and on Arm not always."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, None) or platform.processor() or platform.machine() or None


def _gpus() -> dict[str, Any]:
    torch = sys.modules.get("torch")
    if torch is None:
        return {"gpus": None, "cuda": None}
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return {"gpus": [torch.cuda.get_device_name(number) for number in range(count)], "cuda": torch.version.cuda}
