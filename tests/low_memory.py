"""`reduce_visit` for a worker that runs out of memory; a module, as the builder's workers import what they run."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path
from typing import Any

from hf_dataset.raw import layouts
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.reduction.visit import reduce_visit

BLOCK, SPARE = 1 << 16, 16  # bytes; blocks left free when all others are taken: too few for any frames


def reduce_in_little_memory(
    visit: layouts.RawVisit, options: ReductionOptions
) -> tuple[dict[str, Any], dict[str, Any]]:
    """`reduce_visit`, which from the second planet on gets next to no memory."""
    if visit.planet_id >= visit.folder.planets(visit.split)[1]:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize(),) * 2)
        taken = []
        with contextlib.suppress(MemoryError):
            while True:
                taken.append(bytearray(BLOCK))
        del taken[-SPARE:]
    return reduce_visit(visit, options)
