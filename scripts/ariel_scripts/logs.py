"""Logs of commands: text on standard error, JSON lines in a file."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry = {
            "time": stamp,
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def _can_be_followed(record: logging.LogRecord) -> bool:
    """Transformers advises kernels of Mamba to install, which only a GPU can run."""
    return "reference PyTorch implementation" not in record.getMessage() or sys.modules["torch"].cuda.is_available()


def set_up_logging(quiet: bool = False, verbose: bool = False, json_file: Path | None = None) -> None:
    """Text on standard error, and JSON lines in a file where asked."""
    level = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
    if quiet:
        os.environ["TQDM_DISABLE"] = "1"
    text = logging.StreamHandler(sys.stderr)
    text.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [text]
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        lines = logging.FileHandler(json_file, encoding="utf-8")
        lines.setFormatter(_JsonFormatter())
        handlers.append(lines)
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    logging.getLogger("transformers.integrations.hub_kernels").addFilter(_can_be_followed)
    for name in ("ariel", "ariel_scripts", "hf_dataset", "modeling_ariel", "__main__"):
        logging.getLogger(name).setLevel(level)
