"""What a push would do: a release beside what the Hub holds, file by file, and the tag. Nothing is changed there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.sha import git_hash

from ariel_scripts.options.push import PushOptions
from ariel_scripts.publishing.release import Release

MAIN = "main"
NEW, CHANGED, DELETED, UNCHANGED = "new", "changed", "deleted", "unchanged"


@dataclass(frozen=True)
class Change:
    """What a push does with one file; size [bytes] of what is there afterwards, or was for a deleted one."""

    what: str
    path: str
    size: int
    operation: CommitOperationAdd | CommitOperationDelete


@dataclass(frozen=True)
class Plan:
    """A release beside the Hub. private None: no repository. heads, tags: their commits. head: the one compared."""

    release: Release
    options: PushOptions
    private: bool | None
    heads: dict[str, str]
    tags: dict[str, str]
    head: str | None
    changes: list[Change]

    @property
    def branch(self) -> str:
        """The branch that is pushed to."""
        return self.options.revision or MAIN

    def those(self, *what: str) -> list[Change]:
        """The changes of these sorts."""
        return [change for change in self.changes if change.what in what]

    @property
    def pending(self) -> list[Change]:
        """The changes without the unchanged."""
        return self.those(NEW, CHANGED, DELETED)

    @property
    def tag(self) -> str | None:
        """The tag to make: the one asked for, or on main the next of v1, v2, … where what is there has none."""
        if self.options.tag:
            return None if self.options.tag in self.tags else self.options.tag
        held = not self.pending and self.head in self.tags.values()
        if held or self.options.create_pr or self.branch != MAIN:
            return None
        return f"v{max((int(tag[1:]) for tag in self.tags if re.fullmatch('v[0-9]+', tag)), default=0) + 1}"

    @property
    def title(self) -> str:
        """Title of the commit, by which later pushes know it."""
        counts = [f"{len(found)} {what}" for what in (NEW, CHANGED, DELETED) if (found := self.those(what))]
        return f"Publish {self.release.kind}{f' {self.tag}' if self.tag else ''}: {', '.join(counts)}"


def make_plan(api: HfApi, release: Release, options: PushOptions) -> Plan:
    """Compare a release with the Hub; a branch that is still to be made begins with what main holds.

    Raises ValueError for options that what is there does not allow.
    """
    private, heads, tags, files = None, {}, {}, {}
    if api.repo_exists(**release.place):
        private = bool(api.repo_info(**release.place).private)
        refs = api.list_repo_refs(**release.place, include_pull_requests=True)
        heads = {ref.name: ref.target_commit for ref in refs.branches}
        heads |= {ref.ref: ref.target_commit for ref in refs.pull_requests or []}
        tags = {tag.name: tag.target_commit for tag in refs.tags}
    head = heads.get(options.revision or MAIN, heads.get(MAIN))
    if head:
        tree = api.list_repo_tree(**release.place, recursive=True, revision=head)
        files = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    plan = Plan(release, options, private, heads, tags, head, compare(release, files))
    _check(plan)
    return plan


def compare(release: Release, files: dict[str, RepoFile]) -> list[Change]:
    """What a release changes in a tree: by the ids that the Hub itself gives to content."""
    changes = []
    for path, content in sorted(release.files.items()):
        add, there = CommitOperationAdd(path, content), files.get(path)
        what = NEW if there is None else UNCHANGED if _is_same(add, there) else CHANGED
        changes.append(Change(what, path, add.upload_info.size, add))
    for path, file in sorted(files.items()):
        if path not in release.files and path != ".gitattributes" and release.owns(path):
            changes.append(Change(DELETED, path, file.size, CommitOperationDelete(path)))
    return changes


def _is_same(add: CommitOperationAdd, there: RepoFile) -> bool:
    if there.lfs:
        return add.upload_info.sha256.hex() == there.lfs.sha256
    with add.as_file() as file:
        return add.upload_info.size == there.size and git_hash(file.read()) == there.blob_id


def _check(plan: Plan) -> None:
    """Refuse options that do not fit what is on the Hub."""
    target, branch, tag = plan.release.target, plan.branch, plan.options.tag
    if plan.options.private and plan.private is False:
        raise ValueError(f"--private: {target} exists and is public; only its settings on the Hub change that")
    if plan.options.create_pr and (branch not in plan.heads or branch.startswith("refs/")):
        raise ValueError(f"--create-pr: expected {target} with a branch {branch}, found none (or the token sees none)")
    if branch in plan.tags or (branch not in plan.heads and re.fullmatch(r"[0-9a-f]{40}|refs/.*", branch)):
        raise ValueError(f"--revision: expected a branch of {target} to push to, found {branch!r}")
    if tag is None:
        return
    if plan.options.create_pr:
        raise ValueError("--tag: a pull request gets no tag; push again without --create-pr once it is merged")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", tag):
        raise ValueError(f"--tag: expected letters, digits, '.', '_' and '-', found {tag!r}")
    if tag in plan.tags and (plan.pending or plan.tags[tag] != plan.head):
        raise ValueError(f"--tag: {tag} is on the Hub already, of commit {plan.tags[tag][:12]}; tags stay")
