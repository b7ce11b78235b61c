"""Builds submitted to a cluster: nothing else may write their folder while their jobs wait or run."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from typing import Any

from hf_dataset.digests import config_hash
from hf_dataset.folders import Folder, read_json, write_json
from hf_dataset.store.lineage import STATE_DIR

NAME = "submitted.json"


class StillQueued(RuntimeError):
    """The build was submitted before, and its jobs have not ended."""


def job_name(out: Folder) -> str:
    """Default name of the jobs of a build into `out`."""
    return f"ariel-{config_hash(str(out))}"


def remember(out: Folder, engine: str, options: Mapping[str, Any]) -> None:
    """Record what is about to be submitted."""
    name = options.get("job_name") or job_name(out)
    write_json(out / STATE_DIR / NAME, {"engine": engine, "job_name": name, "from": platform.node()})


def forget(out: Folder) -> None:
    """The jobs have ended, or were not submitted."""
    (out / STATE_DIR / NAME).unlink(missing_ok=True)


def check(out: Folder) -> None:
    """StillQueued where `out` was submitted to a cluster that has not ended it, or can't be asked whether it has."""
    path = out / STATE_DIR / NAME
    found = read_json(path)
    if found is None:
        return
    what = f"a build on {found['engine']}, submitted from {found['from']} as {found['job_name']}"
    if found["engine"] == "slurm":
        command = ["squeue", "--noheader", "--format=%i %T", f"--name={found['job_name']}"]
        try:
            jobs = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError) as error:
            reason = f"its jobs cannot be looked up here ({error})"
        else:
            if not jobs:
                forget(out)
                return
            raise StillQueued(f"{what}, has not ended ({', '.join(jobs.splitlines())}): wait for it, or scancel")
    else:
        reason = "it removes that file when it ends"
    raise StillQueued(f"{what}: {reason}; if you know that none of its jobs is left, delete {path}")
