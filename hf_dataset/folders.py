"""Where a dataset is written: a folder of this machine, or a URL of any storage that fsspec knows (`s3://bucket/x`).

Both are path objects with `/`, `read_bytes`, `stat`, `unlink`: `pathlib.Path` and `upath.UPath`. What differs is how a
file appears whole. In a folder it is written under a hidden name and renamed; an object store has no renames, but an
upload is there when it is complete and not before.
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
        url = UPath(text, **{**options, "use_listings_cache": False})  # what other machines wrote must be seen
        url.fs  # noqa: B018 - made here, where a missing library can be told
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
    """Write JSON whole or not at all."""
    write_bytes(path, (json.dumps(content, indent=indent, ensure_ascii=False, default=str) + "\n").encode())


def read_json(path: Folder) -> dict[str, Any] | None:
    """The JSON object in a file; None where it is missing, cut or something else."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def files(where: Folder, suffix: str) -> list[Folder]:
    """The files of a folder, by name, that end in `suffix`; none where there is no folder."""
    found: list[Any] = list(where.glob(f"*{suffix}"))
    return sorted(found, key=str)


def open_binary(path: Folder) -> IO[bytes]:
    """A file to read parts of: from a URL only these are fetched."""
    return path.open("rb") if isinstance(path, Path) else path.fs.open(path.path, "rb", cache_type="none")


def hidden(path: Path) -> Path:
    """A name beside `path` for what is not finished, of this process alone, on whatever machine."""
    return path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.tmp")


def remove_hidden(where: Path) -> None:
    """Delete the files of a folder that have names as `hidden` gives: killed processes left them."""
    for path in where.glob(".*.tmp"):
        if path.stem.rpartition(".")[2].isdigit():
            path.unlink(missing_ok=True)


def sha256(file: IO[bytes]) -> str:
    """SHA-256 of an opened file, hex, from where it stands to its end; a block is in memory at a time."""
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def put(finished: Path, path: Folder) -> None:
    """Give the local file `finished` its place, where it appears whole; beside it in a folder, elsewhere for a URL."""
    if not isinstance(path, Path):
        path.fs.put_file(str(finished), path.path)
        return
    with finished.open("rb") as file:  # the bytes are on the disk before the name says that they are whole
        os.fsync(file.fileno())
    os.replace(finished, path)


def remove_tree(path: Folder) -> None:
    """Delete a folder and all that is in it, if it is there."""
    if isinstance(path, Path):
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists():
        path.fs.rm(path.path, recursive=True)
