"""One progress bar for all workers: they append a line per visit to files in OUT, and the builder reads them.

Files work on every engine that shares OUT with its workers, and need no channel between processes. An object store
can't append, so on a URL a shard's few lines are rewritten.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from hf_dataset.build.plan import Shard
from hf_dataset.folders import Folder, files, remove_tree, write_bytes
from hf_dataset.store.lineage import STATE_DIR

PROGRESS_DIR = "progress"
POLL_S, POLL_URL_S = 0.5, 5.0

logger = logging.getLogger(__name__)


def progress_path(out: Folder, shard: Shard) -> Folder:
    """The progress file of a shard."""
    return out / STATE_DIR / PROGRESS_DIR / f"{shard.name}.jsonl"


class ProgressLines:
    """Writes a line for each finished visit of a shard."""

    def __init__(self, out: Folder, shard: Shard) -> None:
        self._path, self._text = progress_path(out, shard), b""
        write_bytes(self._path, self._text)

    def add(self, entry: dict[str, Any]) -> None:
        """Add a finished visit."""
        line = json.dumps(entry).encode() + b"\n"
        if isinstance(self._path, Path):
            with self._path.open("ab") as file:
                file.write(line)
        else:
            self._text += line
            write_bytes(self._path, self._text)


class ProgressBar:
    """Follows the workers of a build in a thread while the `with` block runs; failures are logged as they happen."""

    def __init__(self, out: Folder, shards: Sequence[Shard]) -> None:
        self._folder = out / STATE_DIR / PROGRESS_DIR
        self._left = {f"{shard.name}.jsonl": len(shard.visits) for shard in shards}  # visits to come
        self._shown: dict[str, int] = {}  # lines of each file
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        remove_tree(self._folder)
        quiet = True if os.environ.get("TQDM_DISABLE") else None  # None: shown on a terminal only
        total = sum(self._left.values())
        self._bar = tqdm(total=total, unit="visit", desc="building", smoothing=0.1, disable=quiet)

    def __enter__(self) -> ProgressBar:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._bar.close()

    def _follow(self) -> None:
        while not self._stop.wait(POLL_S if isinstance(self._folder, Path) else POLL_URL_S):
            self._update()
        self._update()

    def _update(self) -> None:
        for path in files(self._folder, ".jsonl"):
            if self._left.get(path.name):
                try:
                    text = path.read_bytes()
                except OSError:
                    continue  # the next look will find it
                # a repeated task writes the same lines again: only those beyond the former ones are shown
                lines = text[: text.rfind(b"\n") + 1].splitlines()[self._shown.get(path.name, 0) :]
                self._shown[path.name] = self._shown.get(path.name, 0) + len(lines)
                self._left[path.name] -= len(lines)
                for line in lines:
                    self._show(line)
        self._bar.refresh()

    def _show(self, line: bytes) -> None:
        self._bar.update()
        try:
            entry = json.loads(line)
        except ValueError:
            return  # of two tasks at once
        name = f"planet {entry['planet_id']} visit {entry['visit']}"
        if "error" in entry:
            with tqdm.external_write_mode():
                logger.warning("%s left out: %s", name, entry["error"])
        else:
            logger.debug("%s: %.1f s", name, entry["seconds"])
