"""A release brought to the Hub: what differs from what is there, one commit, a tag.

Nothing is half published. Large files are sent first, to where no branch names them; then one commit, made against the
head that the comparison saw, changes everything at once. Wherever it stops, the same call goes on: it compares again,
and the Hub asks only for large files that it has not got.
"""

from __future__ import annotations

from dataclasses import dataclass

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, SpaceCard
from huggingface_hub.errors import HTTPError

from ariel_scripts.publishing.hub_errors import PublishError, explained, failure, status_of, with_retries
from ariel_scripts.publishing.push_plan import (
    DELETED,
    MAIN,
    NO_TOKEN,
    UNCHANGED,
    Plan,
    compare,
    files_of,
    make_plan,
    message,
    read_remote,
)
from ariel_scripts.publishing.release import Release

Operation = CommitOperationAdd | CommitOperationDelete

RERUN = "Run the same command again to go on."


@dataclass(frozen=True)
class Published:
    """The end of a push. `pull_request`: its address; `fresh`: whether a commit was made now."""

    url: str
    commit: str
    tag: str | None
    fresh: bool
    pull_request: str | None = None


def publish(api: HfApi, plan: Plan) -> Published:
    """Make the Hub hold a plan's release.

    Raises PublishError, whose message says what is on the Hub then.
    """
    if plan.user is None:
        raise PublishError(f"{NO_TOKEN}. Nothing was published.")
    plan = _with_repository(api, plan)
    if plan.settings.create_pr:
        return _pull_request(api, plan)
    commit = _commit(api, plan) if plan.pending else plan.remote.head
    if plan.tag is not None and commit is not None:
        _set_tag(api, plan, commit)
    return Published(_url(api, plan), commit or "", plan.tag or plan.held_by, bool(plan.pending))


def _with_repository(api: HfApi, plan: Plan) -> Plan:
    """The plan against a repository and branch that exist; made here if they did not."""
    release, settings, place = plan.release, plan.settings, plan.release.place
    if plan.remote.private is not None and plan.remote.has_branch:
        return plan
    sdk = _space_sdk(release) if release.kind == "space" else None
    if made := "repository" if plan.remote.private is None else "":
        with explained(plan.target, plan.user, f"Nothing was published. {RERUN}"):
            with_retries(lambda: api.create_repo(**place, private=settings.private, exist_ok=True, space_sdk=sdk))
    if plan.branch != MAIN:
        left = f"The new {made} stays. " if made else ""
        with explained(plan.target, plan.user, f"Nothing was published. {left}{RERUN}"):
            head = plan.remote.head
            with_retries(lambda: api.create_branch(**place, branch=plan.branch, revision=head, exist_ok=True))
    return make_plan(api, release, settings, made or "branch")  # what the Hub puts into a new repository is seen now


def _commit(api: HfApi, plan: Plan) -> str:
    """Send what differs and commit it; the new commit's id."""
    commit = _commit_id(api, plan, _send(api, plan))
    _verify(api, plan, commit)
    return commit


def _send(api: HfApi, plan: Plan) -> CommitInfo | None:
    """Send large files, then commit: the client's CommitInfo, or None where only its answer was lost."""
    place, items = plan.release.place, {item.path: item for item in plan.release.items}
    adds = [
        CommitOperationAdd(change.path, items[change.path].content) for change in plan.pending if change.what != DELETED
    ]
    deletes = [CommitOperationDelete(change.path) for change in plan.pending if change.what == DELETED]
    before = f"{_state_before(plan)} Large files that have arrived are not sent again. {RERUN}"
    with explained(plan.target, plan.user, before):
        # no .gitignore on the Hub may leave out part of a release
        api.preupload_lfs_files(
            **place,
            additions=adds,
            revision=plan.branch,
            create_pr=plan.settings.create_pr,
            free_memory=False,
            gitignore_content="",
        )
    unknown = f"Whether the commit to {plan.branch!r} was made is not known; half of it was not. {RERUN}"
    with explained(plan.target, plan.user, before, interrupted=unknown):
        try:
            return with_retries(
                lambda: _ask_for_commit(api, plan, [*adds, *deletes]), may_repeat=lambda error: _may_repeat(api, plan)
            )
        except HTTPError as error:
            there = _holds_release(api, plan)
            if there is None and (status_of(error) or 500) >= 500:
                raise failure(plan.target, plan.user, error, unknown) from error
            if not there:
                raise
            return None


def _state_before(plan: Plan) -> str:
    """What the Hub holds until the commit, in a sentence."""
    if plan.made == "repository":
        return "The repository was made by this push and stays, without anything of it: delete it if you give up."
    if plan.made == "branch":
        return f"The branch {plan.branch!r} was made by this push and stays, as a copy of {MAIN}."
    return f"{plan.branch!r} of {plan.target} is as it was before."


def _ask_for_commit(api: HfApi, plan: Plan, operations: list[Operation]) -> CommitInfo:
    return api.create_commit(
        **plan.release.place,
        operations=operations,
        commit_message=message(plan.release, plan.tag, plan.changes),
        revision=plan.branch,
        create_pr=plan.settings.create_pr,
        parent_commit=plan.remote.head,
    )


def _may_repeat(api: HfApi, plan: Plan) -> bool:
    """Whether a commit that failed is to be asked for again: not where it was made and only the answer was lost."""
    return _holds_release(api, plan) is not True


def _holds_release(api: HfApi, plan: Plan) -> bool | None:
    """Whether the Hub holds the release now; None where it does not answer."""
    try:
        if plan.settings.create_pr:
            return _find_pull_request(api, plan) is not None
        head = api.repo_info(**plan.release.place, revision=plan.branch).sha
        return head is not None and head != plan.remote.head and _holds(api, plan, head)
    except HTTPError:
        return None


def _commit_id(api: HfApi, plan: Plan, sent: CommitInfo | None) -> str:
    """Id of the commit that was made."""
    if sent is not None:
        return str(sent.oid)
    with explained(plan.target, plan.user, f"{plan.target} is published, without a tag. {RERUN}"):
        return str(read_remote(api, plan.release, plan.settings).head)


def _holds(api: HfApi, plan: Plan, revision: str) -> bool:
    changes = compare(plan.release, files_of(api, plan.release, revision))
    return all(change.what == UNCHANGED for change in changes)


def _verify(api: HfApi, plan: Plan, commit: str) -> None:
    """Refuse to call it published if the commit does not hold the release."""
    with explained(plan.target, plan.user, f"Commit {commit[:12]} was made, but not looked at. {RERUN}"):
        wrong = [one for one in compare(plan.release, files_of(api, plan.release, commit)) if one.what != UNCHANGED]
    if wrong:
        listed = ", ".join(f"{one.path} ({one.what})" for one in wrong[:5])
        raise PublishError(f"{plan.target}: commit {commit[:12]} differs from what was sent in {len(wrong)}: {listed}")


def _set_tag(api: HfApi, plan: Plan, commit: str) -> None:
    tag = str(plan.tag)
    with explained(plan.target, plan.user, f"Commit {commit[:12]} is published, without its tag {tag}. {RERUN}"):
        try:
            with_retries(lambda: api.create_tag(**plan.release.place, tag=tag, revision=commit))
        except HTTPError as error:
            # the answer to an earlier try was lost, or somebody else took the name
            there = tag in (read_remote(api, plan.release, plan.settings).tags or {})
            if status_of(error) != 409 or not there or api.repo_info(**plan.release.place, revision=tag).sha != commit:
                raise


def _pull_request(api: HfApi, plan: Plan) -> Published:
    """Open a pull request, unless the branch or an open one of this user's holds the release already."""
    if not plan.pending:
        return Published(_url(api, plan), plan.remote.head or "", None, False)
    with explained(plan.target, plan.user, f"Nothing was published. {RERUN}"):
        found = _find_pull_request(api, plan)
    fresh = found is None
    if found is None:
        sent = _send(api, plan)
        with explained(plan.target, plan.user, f"A pull request was opened. {RERUN}"):
            found = _find_pull_request(api, plan) if sent is None else (str(sent.pr_revision), sent.oid)
        if found is None:
            raise PublishError(f"{plan.target}: the pull request is not there. {RERUN}")
        _verify(api, plan, found[0])
    number = found[0].rpartition("/")[2]
    return Published(_url(api, plan), found[1], None, fresh, f"{_url(api, plan)}/discussions/{number}")


def _find_pull_request(api: HfApi, plan: Plan) -> tuple[str, str] | None:
    """Reference and commit of an open pull request of this user's that holds the release."""
    place = plan.release.place
    listed = api.get_repo_discussions(
        **place, author=plan.user, discussion_type="pull_request", discussion_status="open"
    )
    mine = {f"refs/pr/{pull.num}" for pull in listed}
    if not mine:
        return None
    refs = api.list_repo_refs(**place, include_pull_requests=True)
    heads = {found.ref: found.target_commit for found in refs.pull_requests or []}
    return next(((ref, heads[ref]) for ref in sorted(mine & set(heads)) if _holds(api, plan, ref)), None)


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
