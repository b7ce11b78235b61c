"""One progress bar for all workers: they append a line a visit to files of OUT, the builder reads them.

Files work on every engine that shares OUT with its workers, and need no channel between processes.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from hf_dataset.lineage import STATE_DIR

PROGRESS_DIR = "progress"
POLL_S = 0.5

logger = logging.getLogger(__name__)


class ProgressBar:
    """Follows the workers of a build in a thread while the `with` block runs; failures are logged as they happen."""

    def __init__(self, out: Path, total: int) -> None:
        self._folder = out / STATE_DIR / PROGRESS_DIR
        self._read: dict[Path, int] = {}  # bytes read of each file
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        for path in self._folder.glob("*.jsonl"):
            path.unlink()
        quiet = True if os.environ.get("TQDM_DISABLE") else None  # None: shown on a terminal only
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
        while not self._stop.wait(POLL_S):
            self._update()
        self._update()

    def _update(self) -> None:
        for path in sorted(self._folder.glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read[path] = self._read.get(path, 0) + len(whole)
            for line in whole.splitlines():
                self._show(json.loads(line))
        self._bar.refresh()

    def _show(self, entry: dict[str, Any]) -> None:
        self._bar.update()
        name = f"planet {entry['planet_id']} visit {entry['visit']}"
        if "error" in entry:
            with tqdm.external_write_mode():
                logger.warning("%s left out: %s", name, entry["error"])
        else:
            logger.debug("%s: %.1f s", name, entry["seconds"])
