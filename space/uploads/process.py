"""Read users' files and fit other telescopes' light curves in separate processes with limits on time and memory.

A process is reused for the next file, as starting one takes a second or two; one that is stopped, fails or has grown is
replaced. It returns only JSON and plain arrays.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from engine.rows import VisitRow
from uploads.limits import (
    FIT_BYTES,
    FIT_SECONDS,
    MAX_READERS,
    MB,
    RAW_SECONDS,
    READ_BYTES,
    READ_SECONDS,
    START_SECONDS,
    WAIT_S,
    UploadError,
)
from uploads.worker import load_rows, save_rows


def read_in_process(kind: str, path: Path, options: Mapping[str, Any] | None = None) -> list[VisitRow]:
    """Rows of a file of that kind ("CSV", "Parquet", "FITS", "NPZ", "zip", CURVES with ``options``), read by another
    process.

    UploadError, without the file's name, where the file is refused or exceeds the limits on time and memory.
    """
    with ExitStack() as slots, tempfile.TemporaryDirectory(prefix="ariel-upload-") as folder:
        if kind == "zip":
            slots.enter_context(_slot(_RAW))
        slots.enter_context(_slot(_ANY))
        seconds = RAW_SECONDS if kind == "zip" else READ_SECONDS
        job = {"kind": kind, "path": str(path.resolve()), "folder": folder, "seconds": seconds}
        found = _run(_Reader, {**job, "options": dict(options or {})})
        if "rows" in found:
            return load_rows(found["rows"], Path(folder))
    if "refused" in found:
        raise UploadError(found["refused"])
    raise UploadError(
        {
            "time": f"expected a file that is read within {seconds:.0f} s, found one that takes longer.",
            "memory": f"expected a file that is read within {READ_BYTES / 1e3 / MB:g} GB of memory, found another.",
        }.get(found["failed"], f"expected {kind}, found a file that cannot be read.")
    )


def fit_in_process(rows: list[VisitRow], known: Mapping[str, Any], file: str, out: Path) -> str:
    """The verdict of a fit of light curves (`uploads.curves.read_curves`) by another process; its files are in ``out``.

    UploadError where it is refused or exceeds the limits on time and memory.
    """
    with tempfile.TemporaryDirectory(prefix="ariel-fit-") as folder:
        job = {"rows": save_rows(rows, Path(folder)), "folder": folder, "known": dict(known), "file": file}
        found = _run(_Fitter, {**job, "out": str(out.resolve()), "seconds": FIT_SECONDS})
    if "verdict" in found:
        return str(found["verdict"])
    if "refused" in found:
        raise UploadError(found["refused"])
    raise UploadError(
        {
            "time": f"expected light curves that are fitted within {FIT_SECONDS:.0f} s, found some that take longer: "
            "send fewer channels or transits.",
            "memory": f"expected light curves that need {FIT_BYTES / 1e3 / MB:g} GB of memory, found more.",
        }.get(found["failed"], "expected light curves that can be fitted, found some that cannot; it has been logged.")
    )


_ANY = threading.BoundedSemaphore(MAX_READERS)
_RAW = threading.BoundedSemaphore(1)  # one raw folder at a time, so that tables get a turn
_idle: list[_Reader] = []
_lock = threading.Lock()


@contextmanager
def _slot(places: threading.BoundedSemaphore) -> Iterator[None]:
    if not places.acquire(timeout=WAIT_S):
        raise UploadError("the Space is busy with other users' files: please try again in a minute.")
    try:
        yield
    finally:
        places.release()


def _run(kind: type[_Reader], job: Mapping[str, Any]) -> dict[str, Any]:
    """Run a job in an idle process of that kind, or in a new one."""
    reader = _idle_reader(kind) or kind()
    keep = False
    try:
        found = reader.run(job)
        keep = not found.pop("last", True)
        return found
    finally:
        if keep:
            with _lock:
                _idle.append(reader)
        else:
            reader.close()


def _idle_reader(kind: type[_Reader]) -> _Reader | None:
    """An idle process of that kind, if any; those that have died are closed."""
    with _lock:
        for reader in [one for one in _idle if type(one) is kind]:
            _idle.remove(reader)
            if reader.alive:
                return reader
            reader.close()
    return None


@atexit.register
def close_idle() -> None:
    """End the idle processes."""
    with _lock:
        while _idle:
            _idle.pop().close()


class _Reader:
    """A running worker."""

    def __init__(self, module: str = "uploads.worker", memory: int | None = None, start: float | None = None) -> None:
        """Of ``module``, with at most ``memory`` [bytes] and ``start`` [s] more for its first job.

        READ_BYTES and START_SECONDS where they are not given.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(memory or READ_BYTES)],
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,  # Ctrl-C goes to the app alone; the worker ends when its pipe closes
            text=True,
            encoding="utf-8",
        )
        self._jobs: IO[str] = self._process.stdin  # type: ignore[assignment]
        self._answers: IO[str] = self._process.stdout  # type: ignore[assignment]
        self._start = START_SECONDS if start is None else start

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def run(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """The job's result; {"failed": "time"} if it took too long, {"failed": "memory"} if the process died."""
        stopped = threading.Event()

        def stop() -> None:
            stopped.set()
            self._process.kill()

        timer = threading.Timer(self._start + job["seconds"], stop)
        timer.start()
        self._start = 0.0
        try:
            self._jobs.write(json.dumps(job) + "\n")
            self._jobs.flush()
            line = self._answers.readline()
        except OSError:  # the process has ended
            line = ""
        finally:
            timer.cancel()
        if line.endswith("\n"):
            return dict(json.loads(line))
        return {"failed": "time" if stopped.is_set() else "memory"}

    def close(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._jobs, self._answers):
            try:
                pipe.close()
            except OSError:  # an unread job
                continue


class _Fitter(_Reader):
    """A running worker of fits: it opens torch first."""

    def __init__(self) -> None:
        super().__init__("uploads.fit_worker", FIT_BYTES, 2 * START_SECONDS)


def _environment() -> dict[str, str]:
    """This process's environment with its module path, one thread for each library, and no secrets."""
    kept = {name: value for name, value in os.environ.items() if not any(word in name for word in _SECRET)}
    paths = os.pathsep.join(path for path in sys.path if path)
    return kept | {"PYTHONPATH": paths} | {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}


_SECRET = ("TOKEN", "SECRET", "PASSWORD", "KEY")
