"""What a push sends: files with their hashes, and which files on the Hub they replace."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

KINDS = ("dataset", "model", "space")
BLOCK = 1 << 20  # bytes hashed at a time


@dataclass(frozen=True)
class Item:
    """One file of a release.

    path: where it goes in the repository, with forward slashes. content: the file on disk, or the bytes themselves.
    """

    path: str
    content: Path | bytes

    @functools.cached_property
    def size(self) -> int:
        """Length [bytes]."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def read(self) -> bytes:
        """The whole content."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()

    def sha256(self) -> str:
        """Hex digest by which the Hub knows a large (LFS) file."""
        return self._sha256

    def git_blob_sha1(self) -> str:
        """Hex digest by which git, and so the Hub, knows a file stored in the repository itself."""
        return self._git_blob_sha1

    @functools.cached_property
    def _sha256(self) -> str:
        digest = hashlib.sha256()
        for block in self._blocks():
            digest.update(block)
        return digest.hexdigest()

    @functools.cached_property
    def _git_blob_sha1(self) -> str:
        digest = hashlib.sha1(f"blob {self.size}\0".encode(), usedforsecurity=False)
        for block in self._blocks():
            digest.update(block)
        return digest.hexdigest()

    def _blocks(self) -> Iterator[bytes]:
        if isinstance(self.content, bytes):
            yield self.content
            return
        with self.content.open("rb") as file:
            while block := file.read(BLOCK):
                yield block


class Place(TypedDict):
    """A repository, in the keywords of `HfApi`."""

    repo_id: str
    repo_type: str


@dataclass(frozen=True)
class Release:
    """Everything that one push makes a repository hold.

    kind: `dataset`, `model` or `space`. owned: patterns (`owns`) of the files on the Hub that this kind manages: those
    that are there and not among `items` are deleted in the same commit; everything else there is left alone.
    """

    kind: str
    repo_id: str
    items: tuple[Item, ...]
    owned: tuple[str, ...]

    @property
    def target(self) -> str:
        """`dataset OWNER/NAME`, for messages."""
        return f"{self.kind} {self.repo_id}"

    @property
    def place(self) -> Place:
        """The repository that it goes to."""
        return {"repo_id": self.repo_id, "repo_type": self.kind}

    def owns(self, path: str) -> bool:
        """Whether a file on the Hub is this kind's: in a pattern `*` is of one name, `**` of any folders and names."""
        return any(_pattern(pattern).fullmatch(path) for pattern in self.owned)


@functools.cache
def _pattern(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*)", pattern)
    return re.compile("".join({"*": "[^/]*", "**": ".*"}.get(part, re.escape(part)) for part in parts), re.DOTALL)
