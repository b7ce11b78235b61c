"""One command at a time in a folder that keeps account of what is finished."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Hold the folder ``out`` for this process while the block runs; the lock ends with the process.

    ValueError where another command holds it.
    """
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(f"{out}: expected no other command to write it, found one that does") from None
    try:
        yield
    finally:
        lock.release()
