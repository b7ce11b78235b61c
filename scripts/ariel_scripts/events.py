"""The events file: a line of JSON for every command that ends, where ARIEL_EVENTS names a file or a folder."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows has none: there an append is one write
    fcntl = None  # type: ignore[assignment]

VARIABLE = "ARIEL_EVENTS"
NAME = "events.jsonl"

logger = logging.getLogger(__name__)


def place() -> Path | None:
    """The events file; None where none is asked for, or this is a process of training that does not write."""
    text = os.environ.get(VARIABLE)
    if not text or os.environ.get("RANK", "0") != "0":
        return None
    return Path(text) / NAME if os.path.isdir(text) else Path(text)


def append(path: Path, event: dict[str, Any]) -> None:
    """Add a line, whole, whoever else is adding one; a file that can't be written is a warning, not a failed command.

    After a line that a full disk or a killed machine cut off, it begins on a line of its own.
    """
    line = (json.dumps(event, ensure_ascii=False, default=str) + "\n").encode(errors="backslashreplace")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
            size = os.fstat(file).st_size
            os.lseek(file, max(size - 1, 0), os.SEEK_SET)
            cut = size > 0 and os.read(file, 1) != b"\n"
            os.write(file, b"\n" * cut + line)
        finally:
            os.close(file)
    except OSError as error:
        logger.warning("%s: the event could not be written: %s", path, error)
