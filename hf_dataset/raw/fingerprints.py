"""Whether raw files have changed, by size and modification time, without reading them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from hf_dataset.raw.layouts import TABLES

Fingerprint = list[int] | None  # size [byte], modification time [ns]; None where the file is missing


def fingerprint(path: Path) -> Fingerprint:
    """Size and modification time of a file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def fingerprints(root: Path, files: Iterable[Path]) -> dict[str, Fingerprint]:
    """Fingerprints of files by their path relative to `root`."""
    return {path.relative_to(root).as_posix(): fingerprint(path) for path in files}


def table_fingerprints(root: Path) -> dict[str, Fingerprint]:
    """Fingerprints of the tables that the raw folder `root` has, by their names."""
    found = fingerprints(root, (root / name for name in TABLES))
    return {name: state for name, state in found.items() if state is not None}


def changes(then: Mapping[str, Fingerprint], now: Mapping[str, Fingerprint]) -> list[str]:
    """A description of the files that were added, removed or changed."""
    names = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    return [f"{name}: was {in_words(then.get(name))}, is {in_words(now.get(name))}" for name in names]


def in_words(state: Fingerprint) -> str:
    """A fingerprint as text."""
    if state is None:
        return "no file"
    size, time_ns = state
    return f"{size:,} bytes of {datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec='milliseconds')}"
