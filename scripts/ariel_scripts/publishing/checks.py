"""What must not be among the files of a release, and what is too large for the Hub.

The limits are those of https://huggingface.co/docs/hub/storage-limits and of `HfApi.create_commit`'s own documentation;
where editions of these differ, the smaller number. They also advise under 100 files a commit, because a request ends
after 60 s: that is about files inside the request, and ours are small; of a large file it holds one line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ariel_scripts.publishing.release import KINDS, Item, Release
from ariel_scripts.publishing.secrets import content_problems, is_text

FILE_SIZE = 50_000_000_000  # bytes
FOLDER_FILES = 10_000
COMMIT_FILES = 25_000
COMMIT_TEXT = 1_000_000_000  # bytes of files that travel inside the commit
LFS_SIZE = 10_000_000  # bytes; larger files do not travel inside the commit, whatever they are


def check(release: Release) -> None:
    """Refuse a release that should not or cannot be published, naming every file that is the reason.

    Looked at: the repository's id, names of files, sizes and counts against the Hub's limits, links that lead out of
    the folder; and in text files and the strings of Parquet files secrets and absolute paths of a machine.
    Raises ValueError; a secret itself is never part of the message.
    """
    problems = [*_repo_problems(release), *_name_problems(release), *_size_problems(release)]
    for item in release.items:
        problems += content_problems(item)
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
        text += size if size <= LFS_SIZE and is_text(item.path) else 0
        if size > FILE_SIZE:
            yield f"{item.path}: expected at most {FILE_SIZE / 1e9:.0f} GB, found {size / 1e9:.1f} GB: split it"
    if text > COMMIT_TEXT:
        yield f"text files: expected at most {COMMIT_TEXT / 1e9:.0f} GB in one commit, found {text / 1e9:.1f} GB"
