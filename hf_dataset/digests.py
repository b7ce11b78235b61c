"""Hashes: of settings, of the sources that decide what is in a row, of files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

ROW_SOURCES = ("raw", "reduction", "schema.py")  # what decides a row; the rest decides where it goes
LENGTH = 12  # hex digits: unique in practice, short enough to be read out


def config_hash(content: object) -> str:
    """First 12 hex digits of the SHA-256 of the canonical JSON of `content`."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def source_hash(package: Path = Path(__file__).parent, sources: Sequence[str] = ROW_SOURCES) -> str:
    """First 12 hex digits of the SHA-256 of sources, by default those that decide a row, their names included.

    `package` is a folder laid out as hf_dataset, `sources` are rooms and files of it. ValueError if one is missing:
    the hash of nothing would never change.
    """
    found = hashlib.sha256()
    for name in sources:
        place = package / name
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        if not files or not all(path.is_file() for path in files):
            raise ValueError(f"{place}: expected sources of this package, found none")
        for path in files:
            content = path.read_bytes()
            found.update(f"{path.relative_to(package).as_posix()} {len(content)}\n".encode() + content)
    return found.hexdigest()[:LENGTH]


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
