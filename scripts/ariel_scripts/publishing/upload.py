"""A release brought to the Hub: what differs from what is there in one commit, and a tag.

Nothing is half published: the commit is made against the head that the comparison saw and changes everything at once.
Wherever a push stops, the same call goes on; the Hub asks only for large files that it has not got.
"""

from __future__ import annotations

from dataclasses import dataclass

from huggingface_hub import CommitOperationAdd, HfApi, get_token

from ariel_scripts.publishing.errors import PublishError, explained
from ariel_scripts.publishing.plan import Plan, is_held, make_plan


@dataclass(frozen=True)
class Published:
    """The end of a push. `pull_request`: its address; `fresh`: whether a commit was made now."""

    url: str
    commit: str
    tag: str | None
    fresh: bool
    pull_request: str | None = None


def is_logged_in(api: HfApi) -> bool:
    """Whether there is a token; the Hub is not asked whether it is a good one."""
    return api.token is not False and bool(api.token or get_token())


def check_login(api: HfApi) -> None:
    """Refuse to go on without a token (PublishError)."""
    if not is_logged_in(api):
        raise PublishError(
            "not logged in to the Hub: `hf auth login` (or HF_TOKEN) with a token that may write. "
            "Nothing was published."
        )


def publish(api: HfApi, plan: Plan) -> Published:
    """Make the Hub hold a plan's release.

    Raises PublishError, whose message says what is on the Hub then.
    """
    check_login(api)
    release, create_pr = plan.release, plan.settings.create_pr
    if plan.remote.private is None or not plan.remote.has_branch:
        plan = _with_repository(api, plan)
    prefix = "" if release.kind == "model" else f"{release.kind}s/"
    url, head = f"{api.endpoint}/{prefix}{release.repo_id}", plan.remote.head or ""
    if plan.pending and create_pr:
        with explained(release.target, "Nothing was published."):
            found = _open_pull_request(api, plan)
        if found is not None:
            return Published(url, found[1], None, False, f"{url}/discussions/{found[0]}")
    commit, pull_request = _commit(api, plan) if plan.pending else (head, None)
    if plan.tag is not None and commit:
        with explained(release.target, f"Commit {commit[:12]} is published, without its tag {plan.tag}."):
            api.create_tag(**release.place, tag=plan.tag, revision=commit)
    return Published(url, commit, plan.tag or plan.held_by, bool(plan.pending), pull_request)


def _with_repository(api: HfApi, plan: Plan) -> Plan:
    """The plan against a repository and branch that exist; made here if they did not."""
    release, settings = plan.release, plan.settings
    with explained(release.target, "Nothing was published."):
        if plan.remote.private is None:
            sdk = "gradio" if release.kind == "space" else None
            api.create_repo(**release.place, private=settings.private, exist_ok=True, space_sdk=sdk)
        if settings.revision is not None:
            api.create_branch(**release.place, branch=settings.branch, revision=plan.remote.head, exist_ok=True)
    return make_plan(api, release, settings)  # what the Hub puts into a new repository is seen now


def _commit(api: HfApi, plan: Plan) -> tuple[str, str | None]:
    """(id of the commit, address of the pull request if it opened one)."""
    operations = [change.operation for change in plan.pending]
    additions = [change for change in operations if isinstance(change, CommitOperationAdd)]
    branch, create_pr = plan.settings.branch, plan.settings.create_pr
    with explained(plan.release.target, "A push is one commit: nothing is half published."):
        # large files, to where no branch names them; no .gitignore on the Hub may leave out a part of the release
        api.preupload_lfs_files(
            **plan.release.place,
            additions=additions,
            revision=branch,
            create_pr=create_pr,
            free_memory=False,
            gitignore_content="",
        )
        made = api.create_commit(
            **plan.release.place,
            operations=operations,
            commit_message=plan.title,
            revision=branch,
            create_pr=create_pr,
            parent_commit=plan.remote.head,
        )
    return made.oid, made.pr_url


def _open_pull_request(api: HfApi, plan: Plan) -> tuple[int, str] | None:
    """Number and commit of an open pull request of this user's that holds the release."""
    place = plan.release.place
    mine = api.get_repo_discussions(
        **place, author=api.whoami()["name"], discussion_type="pull_request", discussion_status="open"
    )
    for pull in mine:
        revision = f"refs/pr/{pull.num}"
        if is_held(api, plan.release, revision):
            return pull.num, str(api.repo_info(**place, revision=revision).sha)
    return None
