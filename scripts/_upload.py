"""A release brought to the Hub: what differs from what is there, one commit, a tag.

Nothing is half published. Large files are sent first, to where no branch names them; then one commit, made against the
head that the comparison saw, changes everything at once. Wherever it stops, the same call goes on: it compares again,
and the Hub asks only for large files that it has not got.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, SpaceCard, get_token
from huggingface_hub.errors import HFValidationError, HTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from ariel_scripts._hub_errors import PublishError, advice, reason, status_of, steadily
from ariel_scripts._release import Item, Release

MAIN = "main"
AGAIN = "Run the same command again to go on."
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
        return f"{self.release.kind} {self.release.repo_id}"


@dataclass(frozen=True)
class Published:
    """The end of a push. `pull_request`: its address; `fresh`: whether a commit was made now."""

    url: str
    commit: str
    tag: str | None
    fresh: bool
    pull_request: str | None = None


# --- the plan ------------------------------------------------------------------------------------------------------


def check_login(api: HfApi) -> None:
    """Refuse to go on without a token (PublishError); the Hub is not asked whether it is a good one."""
    if not _has_token(api):
        raise PublishError(f"{NO_TOKEN}. Nothing was published.")


def make_plan(api: HfApi, release: Release, wishes: Wishes) -> Plan:
    """Compare a release with the Hub; nothing is changed there.

    Raises PublishError where the Hub cannot be read, and ValueError for wishes that what is there does not allow.
    """
    user = _user(api)
    with _explained(release, user, "Nothing was published."):
        remote = _read(api, release, wishes)
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
    with _explained(None, None, "Nothing was published."):
        return str(steadily(api.whoami)["name"])


def _read(api: HfApi, release: Release, wishes: Wishes) -> Remote:
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
    files = {} if head is None else _files(api, release, head)
    return Remote(bool(private), head, has_branch, files, tags)


def _files(api: HfApi, release: Release, revision: str) -> dict[str, RepoFile]:
    tree = api.list_repo_tree(release.repo_id, recursive=True, revision=revision, repo_type=release.kind)
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def _check_wishes(release: Release, wishes: Wishes, remote: Remote) -> None:
    target, branch, tags = f"{release.kind} {release.repo_id}", wishes.revision or MAIN, remote.tags or {}
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


# --- carrying it out -----------------------------------------------------------------------------------------------


def publish(api: HfApi, plan: Plan) -> Published:
    """Make the Hub hold a plan's release.

    Raises PublishError, whose message says what is on the Hub then.
    """
    if plan.user is None:
        raise PublishError(f"{NO_TOKEN}. Nothing was published.")
    plan = _with_place(api, plan)
    if plan.wishes.create_pr:
        return _pull_request(api, plan)
    commit = _commit(api, plan) if plan.pending else plan.remote.head
    if plan.tag is not None and commit is not None:
        _set_tag(api, plan, commit)
    tags = [plan.tag] if plan.tag else [name for name, of in (plan.remote.tags or {}).items() if of == commit]
    return Published(_url(api, plan), commit or "", tags[-1] if tags else None, bool(plan.pending))


def _with_place(api: HfApi, plan: Plan) -> Plan:
    """The plan against a repository and branch that exist; made here if they did not."""
    release, wishes, place = plan.release, plan.wishes, _place(plan)
    if plan.remote.private is not None and plan.remote.has_branch:
        return plan
    sdk = _space_sdk(release) if release.kind == "space" else None
    with _explained(release, plan.user, f"Nothing was published. {AGAIN}"):
        if plan.remote.private is None:
            steadily(lambda: api.create_repo(**place, private=wishes.private, exist_ok=True, space_sdk=sdk))
        if plan.branch != MAIN:
            steadily(lambda: api.create_branch(**place, branch=plan.branch, revision=plan.remote.head, exist_ok=True))
    return make_plan(api, release, wishes)  # what the Hub put into a new repository is now seen too


def _commit(api: HfApi, plan: Plan) -> str:
    """Send what differs and commit it; the new commit's id."""
    done = _landed(api, plan, _send(api, plan))
    _verify(api, plan, done)
    return done


def _send(api: HfApi, plan: Plan) -> Any:
    """Send large files, then commit: the client's CommitInfo, or None where only its answer was lost."""
    place, items = _place(plan), {item.path: item for item in plan.release.items}
    adds = [CommitOperationAdd(change.path, items[change.path].content)
            for change in plan.pending if change.what != DELETED]  # fmt: skip
    deletes = [CommitOperationDelete(change.path) for change in plan.pending if change.what == DELETED]
    before = f"{plan.branch!r} of {plan.target} is as it was before."
    with _explained(plan.release, plan.user, f"{before} Large files that have arrived are not sent again. {AGAIN}"):
        # no .gitignore on the Hub may leave out part of a release
        api.preupload_lfs_files(**place, additions=adds, revision=plan.branch, create_pr=plan.wishes.create_pr,
                                free_memory=False, gitignore_content="")  # fmt: skip
        try:
            return steadily(
                lambda: _ask_for_commit(api, plan, [*adds, *deletes]), again=lambda error: _again(api, plan)
            )
        except HTTPError as error:
            there = _is_there(api, plan)
            if there is None and (status_of(error) or 500) >= 500:
                lost = f"Whether the commit to {plan.branch!r} was made is not known; half of it was not. {AGAIN}"
                raise _failure(plan.release, plan.user, error, lost) from error
            if not there:
                raise
            return None


def _ask_for_commit(api: HfApi, plan: Plan, operations: list[Any]) -> Any:
    return api.create_commit(
        **_place(plan),
        operations=operations,
        commit_message=_message(plan),
        revision=plan.branch,
        create_pr=plan.wishes.create_pr,
        parent_commit=plan.remote.head,
    )


def _again(api: HfApi, plan: Plan) -> bool:
    """Whether a commit that failed is to be asked for again: not where it was made and only the answer was lost."""
    return _is_there(api, plan) is not True


def _is_there(api: HfApi, plan: Plan) -> bool | None:
    """Whether the Hub holds the release now; None where it does not answer."""
    try:
        if plan.wishes.create_pr:
            return _find_pull_request(api, plan) is not None
        head = api.repo_info(**_place(plan), revision=plan.branch).sha
        return head is not None and head != plan.remote.head and _holds(api, plan, head)
    except HTTPError:
        return None


def _landed(api: HfApi, plan: Plan, sent: Any) -> str:
    """Id of the commit that was made."""
    if sent is not None:
        return str(sent.oid)
    with _explained(plan.release, plan.user, f"{plan.target} is published, without a tag. {AGAIN}"):
        return str(_read(api, plan.release, plan.wishes).head)


def _holds(api: HfApi, plan: Plan, revision: str) -> bool:
    changes = compare(plan.release, _files(api, plan.release, revision))
    return all(change.what == UNCHANGED for change in changes)


def _verify(api: HfApi, plan: Plan, commit: str) -> None:
    """Refuse to call it published if the commit does not hold the release."""
    with _explained(plan.release, plan.user, f"Commit {commit[:12]} was made, but not looked at. {AGAIN}"):
        wrong = [one for one in compare(plan.release, _files(api, plan.release, commit)) if one.what != UNCHANGED]
    if wrong:
        listed = ", ".join(f"{one.path} ({one.what})" for one in wrong[:5])
        raise PublishError(f"{plan.target}: commit {commit[:12]} differs from what was sent in {len(wrong)}: {listed}")


def _set_tag(api: HfApi, plan: Plan, commit: str) -> None:
    tag = str(plan.tag)
    with _explained(plan.release, plan.user, f"Commit {commit[:12]} is published, without its tag {tag}. {AGAIN}"):
        try:
            steadily(lambda: api.create_tag(**_place(plan), tag=tag, revision=commit))
        except HTTPError as error:
            # the answer to an earlier try was lost, or somebody else took the name
            if status_of(error) != 409 or (_read(api, plan.release, plan.wishes).tags or {}).get(tag) != commit:
                raise


def _pull_request(api: HfApi, plan: Plan) -> Published:
    """Open a pull request, unless the branch or an open one of this user's holds the release already."""
    if not plan.pending:
        return Published(_url(api, plan), plan.remote.head or "", None, False)
    with _explained(plan.release, plan.user, f"Nothing was published. {AGAIN}"):
        found = _find_pull_request(api, plan)
    fresh = found is None
    if found is None:
        sent = _send(api, plan)
        with _explained(plan.release, plan.user, f"A pull request was opened. {AGAIN}"):
            found = (sent.pr_revision, sent.oid) if sent is not None else _find_pull_request(api, plan)
        if found is None:
            raise PublishError(f"{plan.target}: the pull request is not there. {AGAIN}")
        _verify(api, plan, found[0])
    number = found[0].rpartition("/")[2]
    return Published(_url(api, plan), found[1], None, fresh, f"{_url(api, plan)}/discussions/{number}")


def _find_pull_request(api: HfApi, plan: Plan) -> tuple[str, str] | None:
    """Reference and commit of an open pull request of this user's that holds the release."""
    place = _place(plan)
    listed = api.get_repo_discussions(
        **place, author=plan.user, discussion_type="pull_request", discussion_status="open"
    )
    mine = {f"refs/pr/{pull.num}" for pull in listed}
    if not mine:
        return None
    refs = api.list_repo_refs(**place, include_pull_requests=True)
    heads = {found.ref: found.target_commit for found in refs.pull_requests or []}
    return next(((ref, heads[ref]) for ref in sorted(mine & set(heads)) if _holds(api, plan, ref)), None)


def _place(plan: Plan) -> dict[str, Any]:
    return {"repo_id": plan.release.repo_id, "repo_type": plan.release.kind}


def _message(plan: Plan) -> str:
    counts = {what: sum(change.what == what for change in plan.pending) for what in (NEW, CHANGED, DELETED)}
    files = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"Publish {plan.release.kind}{f' {plan.tag}' if plan.tag else ''}: {files}"


def _url(api: HfApi, plan: Plan) -> str:
    prefix = "" if plan.release.kind == "model" else f"{plan.release.kind}s/"
    return f"{api.endpoint}/{prefix}{plan.release.repo_id}"


def _space_sdk(release: Release) -> str:
    """What runs the Space, as its README says."""
    readme = next((item for item in release.items if item.path == "README.md"), None)
    card = None if readme is None else SpaceCard(readme.read().decode(), ignore_metadata_errors=True)
    sdk = None if card is None else card.data.to_dict().get("sdk")
    if sdk is None:
        raise ValueError("README.md of the Space: expected `sdk:` in its header, found none")
    return str(sdk)


@contextlib.contextmanager
def _explained(release: Release | None, user: str | None, state: str) -> Iterator[None]:
    """Turn an error of the block's requests into a PublishError: what failed, what to do, what the Hub holds."""
    try:
        yield
    except (PublishError, HFValidationError):
        raise
    except (HTTPError, RuntimeError, OSError, ValueError) as error:
        raise _failure(release, user, error, state) from error


def _failure(release: Release | None, user: str | None, error: Exception, state: str) -> PublishError:
    target = "the Hub" if release is None else f"{release.kind} {release.repo_id}"
    where = f"{error} " if isinstance(error, RuntimeError) and error.__cause__ is not None else ""
    sentences = [f"{target}: {where}{reason(error)}.", advice(error, target, user), state]
    return PublishError(" ".join(sentence for sentence in sentences if sentence))
