"""The process that reads users' files: jobs and results are lines of JSON on its pipes.

Started by `process.py`, which stops it when a file takes too long. A malicious file can harm this process only: the
system limits its memory, processor time and the size of files that it writes, and it has no secrets.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np

from engine.records import RawView
from engine.rows import VisitRow
from uploads.limits import CURVES, MAX_UNPACKED_BYTES, MB, TRANSIENT, UploadError

ARRAYS, VIEW = "rows.npz", "view.npz"
RETIRED_ABOVE = 500 * MB  # resident after a file: the next one gets a new process

logger = logging.getLogger(__name__)


def read(kind: str, path: Path, private: Path, options: Mapping[str, Any]) -> list[VisitRow]:
    """Rows of a file of that kind; ``private`` is an empty folder to unpack to; ``options`` of other telescopes'."""
    # readers are imported when needed: no user waits for the others
    if kind == "zip":
        from uploads.raw_frames import read_raw_zip

        return read_raw_zip(path, private)
    if kind == "FITS":
        from uploads.fits import read_fits

        return read_fits(path)
    if kind == CURVES:
        from uploads.curves import read_curves

        return [cast(VisitRow, row) for row in read_curves(path, options)]
    if kind.endswith(TRANSIENT):
        from uploads.transients import read_table

        return [cast(VisitRow, read_table(path, kind.removesuffix(TRANSIENT).lower()))]
    from uploads.arrays import read_npz
    from uploads.parquet import read_parquet
    from uploads.tables import read_csv

    return {"CSV": read_csv, "Parquet": read_parquet, "NPZ": read_npz}[kind](path)


def save_rows(rows: list[VisitRow], folder: Path) -> list[dict[str, Any]]:
    """Write arrays to files in the folder; return the rest of the rows, fit for JSON. `load_rows` is the inverse."""
    arrays: dict[str, np.ndarray] = {}
    small: list[dict[str, Any]] = []
    for place, row in enumerate(rows):
        kept: dict[str, Any] = {}
        for name, value in row.items():
            if isinstance(value, RawView):
                from engine.raw_view import write_view  # imports the reduction, which tables do not need in memory

                write_view(folder / VIEW, value)
            elif isinstance(value, np.ndarray):
                arrays[f"{place}/{name}"] = value
            else:
                kept[name] = value.item() if isinstance(value, np.generic) else value
        small.append(kept)
    np.savez(folder / ARRAYS, **arrays)  # type: ignore[arg-type]
    return small


def load_rows(small: list[dict[str, Any]], folder: Path) -> list[VisitRow]:
    """The rows that `save_rows` wrote."""
    rows: list[Any] = [{**row, "notes": tuple(row["notes"])} if "notes" in row else dict(row) for row in small]
    with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
        for key in arrays.files:
            place, name = key.split("/")
            rows[int(place)][name] = arrays[key]
    if (folder / VIEW).exists():
        from engine.raw_view import read_view  # as above

        rows[0]["raw_view"] = read_view(folder / VIEW)
    return rows


def run_job(job: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of a job's file, or why it was refused or failed."""
    limit_cpu_time(job["seconds"])
    folder = Path(job["folder"])
    private = folder / "unpacked"
    private.mkdir()
    try:
        return {"rows": save_rows(read(job["kind"], Path(job["path"]), private, job["options"]), folder)}
    except UploadError as error:
        return {"refused": str(error)}
    except MemoryError:
        return {"failed": "memory"}
    except Exception:
        logger.exception("a %s file could not be read", job["kind"])
        return {"failed": "error"}


def limit_resources(memory: int) -> None:
    """Limit this process's memory [bytes] and the size of files that it writes, where the system can."""
    try:
        import resource
    except ImportError:  # Windows: only process.py's time limit holds
        return
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, 2 * MAX_UNPACKED_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(what, (most, most))
        except (ValueError, OSError):
            logger.warning("a limit of this process could not be set")


def limit_cpu_time(seconds: float) -> None:
    """Limit the processor time of the next job, in case the app is no longer there to stop this process."""
    try:
        import resource

        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        resource.setrlimit(resource.RLIMIT_CPU, (int(used + 2 * seconds) + 1, resource.RLIM_INFINITY))
    except (ImportError, ValueError, OSError):
        return


def _resident_bytes() -> int:
    """Resident memory of this process [bytes]; 0 where Linux does not report it."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def serve(
    jobs: TextIO,
    answers: TextIO,
    run: Callable[[Mapping[str, Any]], dict[str, Any]] = run_job,
    retired_above: float = RETIRED_ABOVE,
) -> None:
    """Run jobs until there are no more, or until one has left this process too large."""
    for line in jobs:
        found = run(json.loads(line))
        found["last"] = _resident_bytes() > retired_above
        answers.write(json.dumps(found) + "\n")
        answers.flush()
        if found["last"]:
            return


def replies_alone() -> TextIO:
    """The pipe for replies, kept from what libraries print."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


if __name__ == "__main__":
    replies = replies_alone()
    limit_resources(int(sys.argv[1]))
    serve(sys.stdin, replies)
