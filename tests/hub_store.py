"""What the local Hub remembers: repositories of whole-tree commits, branches, tags, pull requests, large files.

Object ids are git's own (SHA-1 of `blob SIZE\\0…`), those of large files SHA-256, as on the real Hub. Nothing is stored
on disk; commits share the bytes of unchanged files.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

LARGE = 10 * 2**20  # bytes; the Hub stores larger files by LFS, whatever their name
LFS_SUFFIXES = ("7z", "arrow", "bin", "bz2", "ckpt", "gz", "h5", "msgpack", "npy", "npz", "onnx", "parquet", "pickle",
                "pkl", "pt", "pth", "safetensors", "tar", "tgz", "xz", "zip", "zst")  # fmt: skip
MEDIA_SUFFIXES = ("flac", "gif", "jpeg", "jpg", "mp3", "mp4", "png", "wav", "webp")  # in datasets and Spaces alone


class Refused(Exception):
    """The Hub's answer to a request that it does not carry out."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


def missing(what: str, name: str) -> Refused:
    """A 404; what: `Repo`, `Revision` or `Entry`, as the header X-Error-Code names it."""
    said = {"Repo": "Repository not found", "Revision": f"Invalid rev id: {name}", "Entry": f"{name} does not exist"}
    return Refused(404, said[what], f"{what}NotFound")


def git_oid(kind: str, content: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


@dataclass(frozen=True)
class Blob:
    """A file's content, and whether the repository holds it by a pointer (LFS)."""

    content: bytes
    lfs: bool = False

    @functools.cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @functools.cached_property
    def pointer(self) -> bytes:
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        return text.encode()

    @functools.cached_property
    def oid(self) -> str:
        return git_oid("blob", self.pointer if self.lfs else self.content)


@dataclass(frozen=True)
class Commit:
    """A whole tree, path by path."""

    id: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    files: Mapping[str, Blob]


@dataclass
class PullRequest:
    """Its branch is `refs/pr/NUMBER`; it begins at the commit `start` of the branch `base`."""

    number: int
    title: str
    author: str
    base: str
    start: str
    head: str
    date: str
    status: str = "open"


@dataclass
class Repo:
    """One repository; `objects` are the large files it has received, whether a commit names them or not."""

    kind: str
    id: str
    private: bool
    sdk: str | None
    owner: str
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, PullRequest] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    clock: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        suffixes = LFS_SUFFIXES if self.kind == "model" else LFS_SUFFIXES + MEDIA_SUFFIXES
        rules = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in suffixes)
        files = {".gitattributes": Blob(rules.encode())}
        if self.sdk:
            header = f"---\ntitle: {self.id.split('/')[1]}\nsdk: {self.sdk}\n---\n"
            files["README.md"] = Blob(header.encode())
        self.branches["main"] = self.record(None, files, "initial commit", "", self.owner).id

    def record(self, parent: str | None, files: Mapping[str, Blob], title: str, message: str, author: str) -> Commit:
        """A new commit, on no branch yet."""
        date = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(self.clock))
        stamp = date.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        tree = {path: blob.oid for path, blob in sorted(files.items())}
        made = Commit(git_oid("commit", json.dumps([parent, tree, title, message, author, stamp]).encode()),
                      parent, title, message, author, stamp, dict(sorted(files.items())))  # fmt: skip
        self.commits[made.id] = made
        return made

    def find(self, revision: str) -> Commit:
        """The commit that a branch, tag, pull request or commit id stands for."""
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        for refs in (self.branches, self.tags):
            if name in refs:
                return self.commits[refs[name]]
        number = revision.removeprefix("refs/pr/")
        if number != revision and number.isdigit() and int(number) in self.pulls:
            return self.commits[self.pulls[int(number)].head]
        if len(revision) >= 7:
            for id in self.commits:
                if id.startswith(revision):
                    return self.commits[id]
        raise missing("Revision", revision)

    def move(self, revision: str, commit: Commit) -> None:
        """Make a branch or pull request point at `commit`."""
        if revision.startswith("refs/pr/"):
            self.pulls[int(revision.removeprefix("refs/pr/"))].head = commit.id
        else:
            self.branches[revision] = commit.id

    def is_branch(self, revision: str) -> bool:
        """Whether commits can go to `revision`."""
        return revision in self.branches or (revision.startswith("refs/pr/") and self.find(revision) is not None)

    def uses_lfs(self, commit: Commit, path: str, size: int, sample: bytes) -> bool:
        """The Hub's choice of storage: by .gitattributes, by size, and for whatever does not look like text."""
        rules = commit.files.get(".gitattributes", Blob(b"")).content.decode()
        patterns = [line.split()[0] for line in rules.splitlines() if "filter=lfs" in line]
        named = any(fnmatchcase(path if "/" in pattern else path.split("/")[-1], pattern) for pattern in patterns)
        return size > 0 and (named or size > LARGE or b"\0" in sample)

    def history(self, commit: Commit) -> list[Commit]:
        """`commit` and those before it, newest first."""
        found: list[Commit] = [commit]
        while (parent := found[-1].parent) is not None:
            found.append(self.commits[parent])
        return found

    def apply(self, base: Commit, lines: list[dict], author: str) -> Commit:
        """The commit that the ndjson `lines` (header first) make of `base`: all of them or an error."""
        files, header = dict(base.files), lines[0]["value"]
        for line in lines[1:]:
            key, value = line["key"], line["value"]
            path = value["path"]
            if key == "file":
                blob = Blob(_decoded(value))
                if self.uses_lfs(base, path, len(blob.content), blob.content[:512]):
                    raise Refused(400, f"Your push was rejected because it contains binary files: {path}")
                files[path] = blob
            elif key == "lfsFile":
                if value["oid"] not in self.objects:
                    raise Refused(400, f"LFS pointer pointed to a file that does not exist: {path}")
                files[path] = Blob(self.objects[value["oid"]], lfs=True)
            elif key == "deletedFile":
                if path not in files:
                    raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
                del files[path]
            elif key == "deletedFolder":
                files = {name: blob for name, blob in files.items() if not name.startswith(path.rstrip("/") + "/")}
            else:
                raise Refused(400, f"unknown operation {key}")
        return self.record(base.id, files, header["summary"], header.get("description", ""), author)


def _decoded(value: Mapping[str, str]) -> bytes:
    return base64.b64decode(value["content"]) if value.get("encoding") == "base64" else value["content"].encode()
