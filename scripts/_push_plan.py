"""What a push would do: a release beside what the Hub holds, file by file, and the tag. Nothing is changed there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from ariel_scripts._hub_errors import PublishError, explained, steadily
from ariel_scripts._release import Item, Release

MAIN = "main"
NO_TOKEN = "not logged in to the Hub: `hf auth login` (or HF_TOKEN) with a token that may write"
NEW, CHANGED, DELETED, UNCHANGED = "new", "changed", "deleted", "unchanged"


@dataclass(frozen=True)
class Wishes:
    """How to publish. private: only a repository that is made now. revision: the branch (or `refs/pr/N`)."""

    private: bool = False
    revision: str | None = None
    create_pr: bool = False
    tag: str | None = None


@dataclass(frozen=True)
class Remote:
    """What the Hub holds where a release is to go. `head`: the commit that `files` are of; `private` None: nothing."""

    private: bool | None = None
    head: str | None = None
    has_branch: bool = False
    files: Mapping[str, RepoFile] | None = None
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Change:
    """What a push does with one file; size [bytes] of what is there afterwards, or was for a deleted one."""

    what: str
    path: str
    size: int


@dataclass(frozen=True)
class Plan:
    """A release beside what the Hub holds. `tag`: the tag to make, None for none; `user`: None if not logged in."""

    release: Release
    wishes: Wishes
    remote: Remote
    changes: tuple[Change, ...]
    tag: str | None
    user: str | None

    @property
    def branch(self) -> str:
        return self.wishes.revision or MAIN

    @property
    def pending(self) -> tuple[Change, ...]:
        """The changes without the unchanged."""
        return tuple(change for change in self.changes if change.what != UNCHANGED)

    @property
    def target(self) -> str:
        """`dataset OWNER/NAME`, for messages."""
        return self.release.target


def check_login(api: HfApi) -> None:
    """Refuse to go on without a token (PublishError); the Hub is not asked whether it is a good one."""
    if not _has_token(api):
        raise PublishError(f"{NO_TOKEN}. Nothing was published.")


def make_plan(api: HfApi, release: Release, wishes: Wishes) -> Plan:
    """Compare a release with the Hub; nothing is changed there.

    Raises PublishError where the Hub cannot be read, and ValueError for wishes that what is there does not allow.
    """
    user = _user(api)
    with explained(release.target, user, "Nothing was published."):
        remote = read_remote(api, release, wishes)
    _check_wishes(release, wishes, remote)
    changes = compare(release, remote.files or {})
    pending = any(change.what != UNCHANGED for change in changes)
    return Plan(release, wishes, remote, changes, _tag(wishes, remote, pending), user)


def compare(release: Release, files: Mapping[str, RepoFile]) -> tuple[Change, ...]:
    """What a release changes in a tree, path by path: by the ids that the Hub itself gives to content."""
    changes = []
    for item in sorted(release.items, key=lambda item: item.path):
        there = files.get(item.path)
        what = NEW if there is None else UNCHANGED if _same(item, there) else CHANGED
        changes.append(Change(what, item.path, item.size))
    kept = {item.path for item in release.items} | {".gitattributes"}
    for path, file in sorted(files.items()):
        if path not in kept and any(fnmatchcase(path, pattern) for pattern in release.owned):
            changes.append(Change(DELETED, path, file.size))
    return tuple(changes)


def next_tag(tags: Mapping[str, str]) -> str:
    """The first `v1`, `v2`, … after all that are there."""
    numbers = [int(found[1]) for tag in tags if (found := re.fullmatch(r"v(\d+)", tag))]
    return f"v{max(numbers, default=0) + 1}"


def _same(item: Item, there: RepoFile) -> bool:
    if item.size != there.size:
        return False
    return there.lfs.sha256 == item.sha256() if there.lfs else there.blob_id == item.git_blob_sha1()


def _has_token(api: HfApi) -> bool:
    return api.token is not False and bool(api.token if isinstance(api.token, str) else get_token())


def _user(api: HfApi) -> str | None:
    if not _has_token(api):
        return None
    with explained("the Hub", None, "Nothing was published."):
        return str(steadily(api.whoami)["name"])


def read_remote(api: HfApi, release: Release, wishes: Wishes) -> Remote:
    """What is where the release is to go; of a branch that is still to be made, what it will begin with."""
    place: dict[str, Any] = {"repo_id": release.repo_id, "repo_type": release.kind}
    branch = wishes.revision or MAIN
    try:
        private = steadily(lambda: api.repo_info(**place)).private
    except RepositoryNotFoundError:
        return Remote()
    refs = steadily(lambda: api.list_repo_refs(**place, include_pull_requests=True))
    tags = {tag.name: tag.target_commit for tag in refs.tags}
    heads = {found.name: found.target_commit for found in refs.branches}
    heads |= {found.ref: found.target_commit for found in refs.pull_requests or []}
    has_branch = branch in heads
    head = heads.get(branch, heads.get(MAIN))
    files = {} if head is None else files_of(api, release, head)
    return Remote(bool(private), head, has_branch, files, tags)


def files_of(api: HfApi, release: Release, revision: str) -> dict[str, RepoFile]:
    tree = api.list_repo_tree(release.repo_id, recursive=True, revision=revision, repo_type=release.kind)
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def _check_wishes(release: Release, wishes: Wishes, remote: Remote) -> None:
    target, branch, tags = release.target, wishes.revision or MAIN, remote.tags or {}
    if wishes.private and remote.private is False:
        raise ValueError(
            f"--private: {target} exists and is public; this command makes no repository private or public: its "
            "settings on the Hub do"
        )
    if wishes.tag is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", wishes.tag):
        raise ValueError(f"--tag: expected letters, digits, '.', '_' and '-', found {wishes.tag!r}")
    if wishes.create_pr and wishes.tag:
        raise ValueError("--tag: a pull request gets no tag before it is merged; push again without --create-pr then")
    if wishes.create_pr and remote.private is None:
        raise ValueError(f"--create-pr: expected {target} on the Hub, found none (or the token may not see it)")
    if wishes.create_pr and not remote.has_branch:
        raise ValueError(f"--create-pr: expected a branch {branch!r} of {target}, found none")
    if wishes.create_pr and branch.startswith("refs/pr/"):
        raise ValueError(f"--create-pr: {branch} is a pull request already; push to it by --revision alone")
    if branch in tags or (not remote.has_branch and re.fullmatch(r"[0-9a-f]{40}|refs/.*", branch)):
        raise ValueError(f"--revision: expected a branch of {target} to push to, found {branch!r}")


def _tag(wishes: Wishes, remote: Remote, pending: bool) -> str | None:
    """The tag that the head is to have and has not: the one wished for, or on the main branch the next version."""
    tags = remote.tags or {}
    if wishes.tag is not None:
        if wishes.tag not in tags:
            return wishes.tag
        if not pending and tags[wishes.tag] == remote.head:
            return None
        raise ValueError(f"--tag: {wishes.tag} is on the Hub already, of commit {tags[wishes.tag][:12]}; tags stay")
    if wishes.create_pr or (wishes.revision or MAIN) != MAIN or (not pending and remote.head in tags.values()):
        return None
    return next_tag(tags)
