"""What a push would do: a release beside what the Hub holds, file by file, and the tag. Nothing is changed there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.sha import git_hash

from ariel_scripts.publishing.errors import explained
from ariel_scripts.publishing.release import Release

MAIN = "main"
NEW, CHANGED, DELETED, UNCHANGED = "new", "changed", "deleted", "unchanged"
SHOWN = 5  # files in a warning
Files = Mapping[str, RepoFile]  # by path


@dataclass(frozen=True)
class PushSettings:
    """How to publish. private: only a repository that is made now. revision: the branch (or `refs/pr/N`)."""

    private: bool = False
    revision: str | None = None
    create_pr: bool = False
    tag: str | None = None

    @property
    def branch(self) -> str:
        """The branch that is pushed to."""
        return self.revision or MAIN


@dataclass(frozen=True)
class Remote:
    """What the Hub holds. private None: no repository. head: the commit that `files` are of."""

    private: bool | None
    head: str | None
    has_branch: bool
    files: Files
    tags: Mapping[str, str]

    @property
    def versions(self) -> list[int]:
        """N of the tags vN, in order."""
        return sorted(int(tag[1:]) for tag in self.tags if re.fullmatch(r"v\d+", tag))


@dataclass(frozen=True)
class Change:
    """What a push does with one file; size [bytes] of what is there afterwards, or was for a deleted one."""

    what: str
    path: str
    size: int
    operation: CommitOperationAdd | CommitOperationDelete


@dataclass(frozen=True)
class Plan:
    """A release beside the Hub. tag: the one to make. held_by: the version that holds the release already."""

    release: Release
    settings: PushSettings
    remote: Remote
    changes: tuple[Change, ...]
    tag: str | None
    held_by: str | None
    warnings: tuple[str, ...]

    @property
    def pending(self) -> tuple[Change, ...]:
        """The changes without the unchanged."""
        return tuple(change for change in self.changes if change.what != UNCHANGED)

    @property
    def title(self) -> str:
        """Title of the commit, by which later pushes know it."""
        found = ((what, sum(change.what == what for change in self.changes)) for what in (NEW, CHANGED, DELETED))
        counts = ", ".join(f"{count} {what}" for what, count in found if count)
        return f"Publish {self.release.kind}{f' {self.tag}' if self.tag else ''}: {counts}"


def make_plan(api: HfApi, release: Release, settings: PushSettings) -> Plan:
    """Compare a release with the Hub.

    Raises PublishError where the Hub cannot be read, and ValueError for settings that what is there does not allow.
    """
    with explained(release.target, "Nothing was published."):
        remote = _read_remote(api, release, settings.branch)
        _check_settings(release, settings, remote)
        changes = compare(release, remote.files)
        tag, held_by = _tag(api, release, settings, remote, changes)
        warnings = tuple(_warnings(api, release, settings, remote, changes))
        return Plan(release, settings, remote, changes, tag, held_by, warnings)


def compare(release: Release, files: Files) -> tuple[Change, ...]:
    """What a release changes in a tree: by the ids that the Hub itself gives to content."""
    changes = []
    for path, content in sorted(release.files.items()):
        add, there = CommitOperationAdd(path, content), files.get(path)
        what = NEW if there is None else UNCHANGED if _is_same(add, there) else CHANGED
        changes.append(Change(what, path, add.upload_info.size, add))
    for path, file in sorted(files.items()):
        if path not in release.files and path != ".gitattributes" and release.owns(path):
            changes.append(Change(DELETED, path, file.size, CommitOperationDelete(path)))
    return tuple(changes)


def _is_same(add: CommitOperationAdd, there: RepoFile) -> bool:
    if add.upload_info.size != there.size:
        return False
    if there.lfs:
        return add.upload_info.sha256.hex() == there.lfs.sha256
    with add.as_file() as file:
        return git_hash(file.read()) == there.blob_id


def is_held(api: HfApi, release: Release, revision: str) -> bool:
    """Whether a revision on the Hub holds the release."""
    return all(change.what == UNCHANGED for change in compare(release, _files_of(api, release, revision)))


def _files_of(api: HfApi, release: Release, revision: str) -> Files:
    tree = api.list_repo_tree(**release.place, recursive=True, revision=revision)
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def _read_remote(api: HfApi, release: Release, branch: str) -> Remote:
    """What is where the release is to go; of a branch that is still to be made, what it will begin with."""
    try:
        private = bool(api.repo_info(**release.place).private)
    except RepositoryNotFoundError:
        return Remote(None, None, False, {}, {})
    refs = api.list_repo_refs(**release.place, include_pull_requests=True)
    heads = {found.name: found.target_commit for found in refs.branches}
    heads |= {found.ref: found.target_commit for found in refs.pull_requests or []}
    head = heads.get(branch, heads.get(MAIN))
    files = {} if head is None else _files_of(api, release, head)
    return Remote(private, head, branch in heads, files, {tag.name: tag.target_commit for tag in refs.tags})


def _check_settings(release: Release, settings: PushSettings, remote: Remote) -> None:
    target, branch = release.target, settings.branch
    if settings.private and remote.private is False:
        raise ValueError(f"--private: {target} exists and is public; only its settings on the Hub change that")
    if settings.tag is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", settings.tag):
        raise ValueError(f"--tag: expected letters, digits, '.', '_' and '-', found {settings.tag!r}")
    if settings.create_pr:
        if settings.tag:
            raise ValueError("--tag: a pull request gets no tag; push again without --create-pr once it is merged")
        if remote.private is None:
            raise ValueError(f"--create-pr: expected {target} on the Hub, found none (or the token may not see it)")
        if not remote.has_branch or branch.startswith("refs/pr/"):
            raise ValueError(f"--create-pr: expected a branch of {target}, found {branch!r}")
    if branch in remote.tags or (not remote.has_branch and re.fullmatch(r"[0-9a-f]{40}|refs/.*", branch)):
        raise ValueError(f"--revision: expected a branch of {target} to push to, found {branch!r}")


def _tag(
    api: HfApi, release: Release, settings: PushSettings, remote: Remote, changes: tuple[Change, ...]
) -> tuple[str | None, str | None]:
    """(tag to make, version that holds the release already): the one asked for, or on the main branch the next.

    No commit gets a second version for what others changed beside the release.
    """
    pending = any(change.what != UNCHANGED for change in changes)
    if settings.tag is not None:
        if settings.tag not in remote.tags:
            return settings.tag, None
        if not pending and is_held(api, release, settings.tag):
            return None, settings.tag
        raise ValueError(
            f"--tag: {settings.tag} is on the Hub already, of commit {remote.tags[settings.tag][:12]}; tags stay"
        )
    versioned = not settings.create_pr and settings.branch == MAIN
    if not pending:
        at_head = [tag for tag, commit in remote.tags.items() if commit == remote.head]
        if at_head or not versioned:
            return None, at_head[-1] if at_head else None
        if remote.versions and is_held(api, release, last := f"v{remote.versions[-1]}"):
            return None, last
    return (f"v{max(remote.versions, default=0) + 1}", None) if versioned else (None, None)


def _warnings(
    api: HfApi, release: Release, settings: PushSettings, remote: Remote, changes: tuple[Change, ...]
) -> Iterator[str]:
    """What a person would want to know before it happens: others' work overwritten, more deleted than sent."""
    theirs = [change.path for change in changes if change.what in (CHANGED, DELETED)]
    if theirs and remote.head is not None:
        last = api.list_repo_commits(**release.place, revision=remote.head)[0]
        if not re.search(r"^initial commit$|\bPublish (dataset|model|space)\b", last.title):
            if remote.versions:  # what has changed since the last push
                before = _files_of(api, release, f"v{remote.versions[-1]}")
                theirs = [
                    path for path in theirs if path not in before or before[path].blob_id != remote.files[path].blob_id
                ]
            if theirs:
                more = f" and {len(theirs) - SHOWN} more" if len(theirs) > SHOWN else ""
                yield (
                    f"{settings.branch} of {release.target} was last changed by {' and '.join(last.authors)} "
                    f"({last.created_at:%Y-%m-%d %H:%M} UTC: {last.title!r}), not by a push like this one, which "
                    f"overwrites or deletes {', '.join(theirs[:SHOWN])}{more}"
                )
    deleted = sum(change.what == DELETED for change in changes)
    sent = sum(change.what in (NEW, CHANGED) for change in changes)
    if deleted > sent:
        yield (f"more is deleted than sent ({deleted} files, {sent} sent): is this what {release.target} is to hold?")
