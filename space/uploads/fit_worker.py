"""The process that fits other telescopes' light curves: jobs and results are lines of JSON on its pipes.

Started by `process.py`, which stops it when a fit takes too long. It never sees a user's file, only the arrays that the
reader's process made of it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch  # before memory is limited: its libraries take gigabytes of addresses

from engine.telescope import Known, fit
from modeling_ariel.any_telescope.observation import ObservationError
from uploads.curves import observation_of
from uploads.limits import MB
from uploads.worker import limit_cpu_time, limit_resources, load_rows, replies_alone, serve

RETIRED_ABOVE = 1_500 * MB  # resident after a fit: the next one gets a new process

logger = logging.getLogger(__name__)


def run_fit(job: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict of a job's fit, or why it was refused or failed."""
    limit_cpu_time(job["seconds"])
    try:
        observations = [observation_of(row) for row in load_rows(job["rows"], Path(job["folder"]))]
        return {"verdict": fit(observations, Known(**job["known"]), job["file"], Path(job["out"]))}
    except ObservationError as error:
        return {"refused": f"{error}."}
    except MemoryError:
        return {"failed": "memory"}
    except Exception:
        logger.exception("light curves could not be fitted")
        return {"failed": "error"}


def addresses() -> int:
    """This process's address space [bytes]; 0 where Linux does not report it."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


if __name__ == "__main__":
    replies = replies_alone()
    torch.set_num_threads(1)
    limit_resources(addresses() + int(sys.argv[1]))
    serve(sys.stdin, replies, run_fit, RETIRED_ABOVE)
