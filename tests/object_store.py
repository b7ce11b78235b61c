"""A file system as object stores are: whole objects, no renames, no appending. A folder of the disk holds them.

`shelf:///tmp/x/out` is the folder /tmp/x/out. Importing this module registers it: worker processes do so when they
unpickle a `ShelfPath`.
"""

from __future__ import annotations

import io
import os
import uuid
from pathlib import Path
from typing import Any

import fsspec
from fsspec.spec import AbstractFileSystem
from upath import UPath
from upath.registry import register_implementation


class Upload(io.BytesIO):
    """What is written appears when the file is closed."""

    def __init__(self, shelf: ShelfFileSystem, path: str) -> None:
        super().__init__()
        self.shelf, self.path = shelf, path

    def close(self) -> None:
        if not self.closed:
            self.shelf.pipe_file(self.path, self.getvalue())
        super().close()


class ShelfFileSystem(AbstractFileSystem):
    protocol = "shelf"
    root_marker = "/"
    cachable = False

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        path = self._strip_protocol(path)
        if os.path.isfile(path):
            found = [self.info(path)]
        elif not os.path.isdir(path) or not any(found.is_file() for found in Path(path).rglob("*")):
            raise FileNotFoundError(path)
        else:
            found = [self.info(f"{path.rstrip('/')}/{name}") for name in os.listdir(path) if not name.endswith(".part")]
        return found if detail else [entry["name"] for entry in found]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        status = os.stat(path)
        return {"name": path, "size": status.st_size, "type": "directory" if os.path.isdir(path) else "file"}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if mode == "rb":
            return open(self._strip_protocol(path), "rb")
        if mode != "wb":
            raise NotImplementedError(f"object stores cannot open {path} as {mode}")
        return Upload(self, path)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        path = self._strip_protocol(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        part = f"{path}.{uuid.uuid4().hex}.part"
        Path(part).write_bytes(value)
        try:
            os.link(part, path) if mode == "create" else os.replace(part, path)
        finally:
            Path(part).unlink(missing_ok=True)

    def put_file(self, lpath: str, rpath: str, **_: Any) -> None:
        self.pipe_file(rpath, Path(lpath).read_bytes())

    def rm_file(self, path: str) -> None:
        path = self._strip_protocol(path)
        os.rmdir(path) if os.path.isdir(path) else os.unlink(path)

    def rmdir(self, path: str) -> None:
        os.rmdir(self._strip_protocol(path))

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        pass

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        pass

    def mv(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError("object stores do not rename")

    cp_file = mv


class ShelfPath(UPath):
    """A path on the shelf."""


fsspec.register_implementation("shelf", ShelfFileSystem, clobber=True)
register_implementation("shelf", ShelfPath, clobber=True)
