"""What a push would do: a release beside what the Hub holds, file by file, and the tag. Nothing is changed there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from ariel_scripts.publishing.hub_errors import PublishError, explained, with_retries
from ariel_scripts.publishing.release import KINDS, Item, Release

MAIN = "main"
NO_TOKEN = "not logged in to the Hub: `hf auth login` (or HF_TOKEN) with a token that may write"
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


@dataclass(frozen=True)
class Remote:
    """What the Hub holds where a release is to go. `head`: the commit that `files` are of; `private` None: nothing."""

    private: bool | None = None
    head: str | None = None
    has_branch: bool = False
    files: Files | None = None
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Change:
    """What a push does with one file; size [bytes] of what is there afterwards, or was for a deleted one."""

    what: str
    path: str
    size: int


@dataclass(frozen=True)
class Plan:
    """A release beside what the Hub holds.

    tag: the one to make, None for none. held_by: the version that holds the release already, if no tag is to be made.
    user: None if not logged in. warnings: what its owner should files_at at before it happens. made: `repository` or
    `branch` where this very push has made it.
    """

    release: Release
    settings: PushSettings
    remote: Remote
    changes: tuple[Change, ...]
    tag: str | None
    held_by: str | None
    user: str | None
    warnings: tuple[str, ...] = ()
    made: str | None = None

    @property
    def branch(self) -> str:
        return self.settings.revision or MAIN

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


def make_plan(api: HfApi, release: Release, settings: PushSettings, made: str | None = None) -> Plan:
    """Compare a release with the Hub; nothing is changed there.

    Raises PublishError where the Hub cannot be read, and ValueError for settings that what is there does not allow.
    """
    user, state = _user(api), "Nothing was published."
    if made:
        state += f" The new {made} stays."
    with explained(release.target, user, state):
        remote = read_remote(api, release, settings)
    _check_settings(release, settings, remote)
    changes = compare(release, remote.files or {})

    def files_at(revision: str) -> Files:
        with explained(release.target, user, state):
            return files_of(api, release, revision)

    tag, held_by = _tag(files_at, release, settings, remote, changes)
    with explained(release.target, user, state):
        warnings = () if made else tuple(_warnings(api, files_at, release, settings, remote, changes))
    return Plan(release, settings, remote, changes, tag, held_by, user, warnings, made)


def compare(release: Release, files: Files) -> tuple[Change, ...]:
    """What a release changes in a tree, path by path: by the ids that the Hub itself gives to content."""
    changes = []
    for item in sorted(release.items, key=lambda item: item.path):
        there = files.get(item.path)
        what = NEW if there is None else UNCHANGED if _same(item, there) else CHANGED
        changes.append(Change(what, item.path, item.size))
    kept = {item.path for item in release.items} | {".gitattributes"}
    for path, file in sorted(files.items()):
        if path not in kept and release.owns(path):
            changes.append(Change(DELETED, path, file.size))
    return tuple(changes)


def next_tag(tags: Mapping[str, str]) -> str:
    """The first `v1`, `v2`, … after all that are there."""
    return f"v{_last_version(tags) + 1}"


def _last_version(tags: Mapping[str, str]) -> int:
    """The highest N of the tags `vN`; 0 where there is none."""
    return max((int(found[1]) for tag in tags if (found := re.fullmatch(r"v(\d+)", tag))), default=0)


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
        return str(with_retries(api.whoami)["name"])


def read_remote(api: HfApi, release: Release, settings: PushSettings) -> Remote:
    """What is where the release is to go; of a branch that is still to be made, what it will begin with."""
    place = release.place
    branch = settings.revision or MAIN
    try:
        private = with_retries(lambda: api.repo_info(**place)).private
    except RepositoryNotFoundError:
        return Remote()
    refs = with_retries(lambda: api.list_repo_refs(**place, include_pull_requests=True))
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


def _check_settings(release: Release, settings: PushSettings, remote: Remote) -> None:
    target, branch, tags = release.target, settings.revision or MAIN, remote.tags or {}
    if settings.private and remote.private is False:
        raise ValueError(
            f"--private: {target} exists and is public; this command makes no repository private or public: its "
            "settings on the Hub do"
        )
    if settings.tag is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", settings.tag):
        raise ValueError(f"--tag: expected letters, digits, '.', '_' and '-', found {settings.tag!r}")
    if settings.create_pr and settings.tag:
        raise ValueError("--tag: a pull request gets no tag before it is merged; push again without --create-pr then")
    if settings.create_pr and remote.private is None:
        raise ValueError(f"--create-pr: expected {target} on the Hub, found none (or the token may not see it)")
    if settings.create_pr and not remote.has_branch:
        raise ValueError(f"--create-pr: expected a branch {branch!r} of {target}, found none")
    if settings.create_pr and branch.startswith("refs/pr/"):
        raise ValueError(f"--create-pr: {branch} is a pull request already; push to it by --revision alone")
    if branch in tags or (not remote.has_branch and re.fullmatch(r"[0-9a-f]{40}|refs/.*", branch)):
        raise ValueError(f"--revision: expected a branch of {target} to push to, found {branch!r}")


def _tag(
    files_at: Callable[[str], Files],
    release: Release,
    settings: PushSettings,
    remote: Remote,
    changes: tuple[Change, ...],
) -> tuple[str | None, str | None]:
    """(tag to make, version that holds the release already): the one asked for, or on the main branch the next.

    No commit gets a second version for what others changed beside the release. What a tag holds is asked by its name:
    the id that is listed of an annotated tag may be its own and not the commit's.
    """
    tags, pending = remote.tags or {}, any(change.what != UNCHANGED for change in changes)
    if settings.tag is not None:
        if settings.tag not in tags:
            return settings.tag, None
        if not pending and _is_held(files_at, release, remote, settings.tag):
            return None, settings.tag
        raise ValueError(f"--tag: {settings.tag} is on the Hub already, of commit {tags[settings.tag][:12]}; tags stay")
    versioned = not settings.create_pr and (settings.revision or MAIN) == MAIN
    if pending:
        return next_tag(tags) if versioned else None, None
    at_head = [tag for tag, commit in tags.items() if commit == remote.head]
    if at_head or not versioned:
        return None, at_head[-1] if at_head else None
    last = f"v{_last_version(tags)}"
    held = last in tags and _is_held(files_at, release, remote, last)
    return (None, last) if held else (next_tag(tags), None)


def _is_held(files_at: Callable[[str], Files], release: Release, remote: Remote, tag: str) -> bool:
    """Whether what a tag names holds the release."""
    files = (remote.files or {}) if (remote.tags or {})[tag] == remote.head else files_at(tag)
    return all(change.what == UNCHANGED for change in compare(release, files))


def _warnings(
    api: HfApi,
    files_at: Callable[[str], Files],
    release: Release,
    settings: PushSettings,
    remote: Remote,
    changes: tuple[Change, ...],
) -> Iterator[str]:
    """What a person would want to know before it happens: others' work overwritten, more deleted than sent."""
    count = {what: sum(change.what == what for change in changes) for what in (NEW, CHANGED, DELETED)}
    theirs = sorted(change.path for change in changes if change.what in (CHANGED, DELETED))
    if theirs and remote.head is not None:
        last = with_retries(
            lambda: api.list_repo_commits(release.repo_id, repo_type=release.kind, revision=str(remote.head))
        )[0]
        if not _is_of_a_push(last.title):
            version = f"v{_last_version(remote.tags or {})}"
            if version in (remote.tags or {}):  # what has changed since the last push
                before, now = files_at(version), remote.files or {}
                theirs = [path for path in theirs if path not in before or before[path].blob_id != now[path].blob_id]
            if theirs:
                more = f" and {len(theirs) - SHOWN} more" if len(theirs) > SHOWN else ""
                yield (
                    f"{settings.revision or MAIN} of {release.target} was last changed by {' and '.join(last.authors)} "
                    f"({last.created_at:%Y-%m-%d %H:%M} UTC: {last.title!r}), not by a push like this one, which "
                    f"overwrites or deletes {', '.join(theirs[:SHOWN])}{more}"
                )
    if count[DELETED] > count[NEW] + count[CHANGED]:
        yield (
            f"more is deleted than sent ({count[DELETED]} files, {count[NEW] + count[CHANGED]} sent): is this what "
            f"{release.target} is to hold?"
        )


def message(release: Release, tag: str | None, changes: tuple[Change, ...]) -> str:
    """Title of the commit of a push, by which later ones know it."""
    counts = {what: sum(change.what == what for change in changes) for what in (NEW, CHANGED, DELETED)}
    files = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"Publish {release.kind}{f' {tag}' if tag else ''}: {files}"


def _is_of_a_push(title: str) -> bool:
    """Whether a commit is one of `message`, its merge, or the Hub's own first."""
    kinds = "|".join(KINDS)
    return title == "initial commit" or bool(
        re.search(rf"\bPublish (?:{kinds})(?: \S+)?: \d+ (?:{NEW}|{CHANGED}|{DELETED})\b", title)
    )
