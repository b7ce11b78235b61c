"""Where a dataset is written: a folder of this machine, or a URL of any storage that fsspec supports (`s3://bucket/x`).

Both are path objects with `/`, `read_bytes`, `stat`, `unlink`: `pathlib.Path` and `upath.UPath`. They differ in how a
file appears atomically. In a folder it is written under a hidden name and renamed; an object store has no renames, but
an upload appears only when it is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from pathlib import Path
from typing import IO, Any

from fsspec.implementations.local import LocalFileSystem
from upath import UPath

Folder = Path | UPath


def folder(where: str | Folder) -> Folder:
    """The folder of a path or URL; a `file://` URL is a path. ValueError where nothing can open the URL."""
    if isinstance(where, Path):
        return where
    text = str(where)
    if "://" not in text:
        return Path(text)
    if text.startswith(("file://", "local://")):
        return Path(LocalFileSystem._strip_protocol(text))
    options = dict(where.storage_options) if isinstance(where, UPath) else {}
    try:
        url = UPath(text, **{**options, "use_listings_cache": False})  # files that other machines wrote must be seen
        url.fs  # noqa: B018 - opened so that a missing library is reported here
    except (ValueError, ImportError) as error:
        raise ValueError(f"{text}: expected a path or a URL that fsspec can open: {error}") from error
    return url


def write_bytes(path: Folder, content: bytes) -> None:
    """Write a file whole or not at all."""
    if not isinstance(path, Path):
        path.fs.pipe_file(path.path, content)
        return
    temporary = hidden(path)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Folder, content: Any, indent: int = 1) -> None:
    """Write JSON whole or not at all; names of files that are no text are escaped."""
    text = json.dumps(content, indent=indent, ensure_ascii=False, default=str) + "\n"
    write_bytes(path, text.encode(errors="backslashreplace"))


def read_json(path: Folder) -> dict[str, Any] | None:
    """The JSON object in a file; None if it is missing, truncated or no object."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def files(where: Folder, suffix: str) -> list[Folder]:
    """The files of a folder that end in `suffix`, sorted by name; none if there is no folder."""
    found: list[Any] = list(where.glob(f"*{suffix}"))
    return sorted(found, key=str)


def open_binary(path: Folder) -> IO[bytes]:
    """A file opened for partial reads: from a URL only those parts are fetched."""
    return path.open("rb") if isinstance(path, Path) else path.fs.open(path.path, "rb", cache_type="none")


def hidden(path: Path) -> Path:
    """A hidden name beside `path` for an unfinished file, unique to this process on any machine."""
    return path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.tmp")


def remove_hidden(where: Path) -> None:
    """Delete hidden unfinished files that killed processes left in a folder."""
    for path in where.glob(".*.tmp"):
        if path.stem.rpartition(".")[2].isdigit():
            path.unlink(missing_ok=True)


def sha256(file: IO[bytes]) -> str:
    """SHA-256 of an open file, hex, from its position to the end, read in blocks."""
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def put(finished: Path, path: Folder) -> None:
    """Move the finished local file to `path`, where it appears whole: a rename in a folder, an upload to a URL."""
    if not isinstance(path, Path):
        path.fs.put_file(str(finished), path.path)
        return
    with finished.open("rb") as file:  # the bytes are on disk before the file gets its final name
        os.fsync(file.fileno())
    os.replace(finished, path)


def remove_tree(path: Folder) -> None:
    """Delete a folder and its content, if it exists."""
    if isinstance(path, Path):
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists():
        path.fs.rm(path.path, recursive=True)
