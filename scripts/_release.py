"""What a publish sends: files with their hashes, which files on the Hub they replace, and what must not be among them.

The limits are those of https://huggingface.co/docs/hub/storage-limits and of `HfApi.create_commit`'s own documentation;
where editions of these differ, the smaller number. They also advise under 100 files a commit, because a request ends
after 60 s: that is about files inside the request, and ours are small; of a large file it holds one line.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

KINDS = ("dataset", "model", "space")
BLOCK = 1 << 20  # bytes hashed at a time

FILE_SIZE = 50_000_000_000  # bytes
FOLDER_FILES = 10_000
COMMIT_FILES = 25_000
COMMIT_TEXT = 1_000_000_000  # bytes of files that travel inside the commit
LFS_SIZE = 10_000_000  # bytes; larger files do not travel inside the commit, whatever they are
TEXT_SUFFIXES = (".cfg", ".css", ".csv", ".html", ".ini", ".ipynb", ".js", ".json", ".jsonl", ".md", ".py", ".sh",
                 ".svg", ".toml", ".tsv", ".txt", ".yaml", ".yml")  # fmt: skip

SECRETS = {
    "a Hugging Face token": re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    "a GitHub token": re.compile(r"\b(?:gh[oprsu]_[A-Za-z0-9]{36}|github_pat_\w{40,})"),
    "a GitLab token": re.compile(r"\bglpat-[\w-]{20,}"),
    "a Google API key": re.compile(r"\bAIza[\w-]{35}\b"),
    "an OpenAI or Anthropic key": re.compile(r"\bsk-(?:proj-|ant-|svcacct-)?[\w-]{32,}"),
    "a Slack token": re.compile(r"\bxox[abeoprs]-[\w-]{10,}"),
    "a PyPI token": re.compile(r"\bpypi-AgE[\w-]{50,}"),
    "a Kaggle key": re.compile(r"\bKGAT_[0-9a-f]{32}\b|[\"']key[\"']\s*:\s*[\"'][0-9a-f]{32}[\"']"),
    "a password in an address": re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@\"'<>{}$]+:[^\s/:@\"'<>{}$]+@[\w.]"),
    # values that are plainly stand-ins (<password>, ${PASSWORD}, your-password, ***) pass
    "a password": re.compile(
        r"(?i)\b\w*(?:password|passwd|secret_?key|client_secret|api_?key|access_token|auth_token)[\"']?\s*[:=]\s*"
        r"([\"'])(?!your|example|changeme|xxx|\*|\.\.\.|<|\$|\{)[^\s\"']{8,}\1"
    ),
}
# not where it continues something: an address, {folder}/tmp/x, ~/home/x
MACHINE_PATH = re.compile(
    r"(?:(?<![\w.~/)\]}*$%-])|(?<=file://))/"
    r"(?:home|root|Users|tmp|mnt|media|scratch|work|workspace|private|var)/[\w.~@%+-][^\s\"'`<>|,;)]*"
    r"|(?<!\w)[A-Za-z]:(?:\\{1,2}|/)(?:Users|Documents and Settings|Windows|Temp|Program Files)\b[^\s\"'`<>|,;)]*"
)


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


@dataclass(frozen=True)
class Release:
    """Everything that one push makes a repository hold.

    kind: `dataset`, `model` or `space`. owned: fnmatch patterns of the files on the Hub that this kind manages: those
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


def check(release: Release) -> None:
    """Refuse a release that should not or cannot be published, naming every file that is the reason.

    Looked at: the repository's id, names of files, sizes and counts against the Hub's limits, links that lead out of
    the folder, and in text files secrets (keys and tokens by their known shapes) and absolute paths of a machine.
    Raises ValueError; a secret itself is never part of the message.
    """
    problems = [*_repo_problems(release), *_name_problems(release), *_size_problems(release)]
    for item in release.items:
        problems += _text_problems(item)
    if problems:
        listed = "\n  ".join(problems)
        raise ValueError(f"{release.kind} for {release.repo_id}, {len(problems)} reasons not to publish:\n  {listed}")


def check_repo_id(repo_id: str) -> None:
    """Refuse what is not an id OWNER/NAME that the Hub knows (ValueError)."""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(f"repository id: {error}") from None
    if "/" not in repo_id:
        raise ValueError(f"repository id: expected OWNER/NAME, found {repo_id!r}")


def _repo_problems(release: Release) -> Iterator[str]:
    if release.kind not in KINDS:
        yield f"kind: expected one of {', '.join(KINDS)}, found {release.kind!r}"
    try:
        check_repo_id(release.repo_id)
    except ValueError as error:
        yield str(error)
    if not release.items:
        yield "files: expected at least one, found none"


def _name_problems(release: Release) -> Iterator[str]:
    seen: dict[str, str] = {}
    for item in release.items:
        parts = item.path.split("/")
        if "\\" in item.path or not item.path.isprintable() or any(part in ("", ".", "..") for part in parts):
            yield f"{item.path!r}: expected a relative path with forward slashes and no empty, '.' or '..' part"
        elif any(part.startswith(".") for part in parts) and item.path != ".gitattributes":
            yield f"{item.path}: expected no hidden file or folder but .gitattributes"
        if (other := seen.setdefault(item.path.casefold(), item.path)) is not item.path:
            yield f"{item.path}: expected one file of that name, found {other} too"
        if isinstance(item.content, Path):
            yield from _link_problems(item, item.content)
    folders = {"/".join(parts[:end]) for parts in (path.split("/") for path in seen) for end in range(1, len(parts))}
    for path in sorted(folders & set(seen)):
        yield f"{seen[path]}: expected a file or a folder, found both"


def _link_problems(item: Item, content: Path) -> Iterator[str]:
    if not content.is_file():
        yield f"{item.path}: expected a file at {content}, found {'something else' if content.exists() else 'none'}"
        return
    parts = Path(item.path).parts
    inside = content.parts[-len(parts) :] == parts  # else the file has its name from elsewhere: only itself is asked
    folder = content.parents[len(parts) - 1 if inside else 0]
    if not content.resolve().is_relative_to(folder.resolve()):
        yield f"{item.path}: expected a file inside {folder}, found a link to {content.resolve()}"


def _size_problems(release: Release) -> Iterator[str]:
    if len(release.items) > COMMIT_FILES:
        yield f"files: expected at most {COMMIT_FILES:,} in one commit, found {len(release.items):,}"
    for folder, count in Counter(item.path.rpartition("/")[0] for item in release.items).items():
        if count > FOLDER_FILES:
            yield f"{folder or 'the top folder'}: expected at most {FOLDER_FILES:,} files in a folder, found {count:,}"
    text = 0
    for item in release.items:
        size = item.size if isinstance(item.content, bytes) or item.content.is_file() else 0
        text += size if size <= LFS_SIZE and _is_text(item.path) else 0
        if size > FILE_SIZE:
            yield f"{item.path}: expected at most {FILE_SIZE / 1e9:.0f} GB, found {size / 1e9:.1f} GB: split it"
    if text > COMMIT_TEXT:
        yield f"text files: expected at most {COMMIT_TEXT / 1e9:.0f} GB in one commit, found {text / 1e9:.1f} GB"


def _is_text(path: str) -> bool:
    return path.endswith(TEXT_SUFFIXES) or path == ".gitattributes"


def _text_problems(item: Item) -> Iterator[str]:
    if not _is_text(item.path) or (isinstance(item.content, Path) and not item.content.is_file()):
        return
    try:
        text = item.read().decode()
    except UnicodeDecodeError as error:
        yield f"{item.path}: expected text in UTF-8, found byte 0x{error.object[error.start]:02x} at {error.start}"
        return
    for what, pattern in SECRETS.items():
        for found in pattern.finditer(text):
            yield f"{item.path}, line {text.count(chr(10), 0, found.start()) + 1}: expected no secret, found {what}"
    for found in MACHINE_PATH.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield f"{item.path}, line {line}: expected no absolute path of a machine, found {found[0]}"
