"""A release brought to the Hub: what differs from what is there, in one commit.

Nothing is half published: the commit is made against the head that the comparison saw and changes everything at once.
Wherever a push stops, the same call goes on; the Hub asks only for large files that it has not got.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi
from huggingface_hub.errors import HTTPError

from ariel_scripts.publishing.plan import Plan, make_plan

NOTHING, ONE_COMMIT = "Nothing was published.", "A push is one commit: nothing is half published."
RERUN = "Run the same command again to go on."


@contextlib.contextmanager
def explained(target: str, state: str) -> Iterator[None]:
    """Add to an error of the block's requests what the Hub holds then (`state`), and how to go on (RuntimeError)."""
    try:
        yield
    except (HTTPError, RuntimeError, OSError) as error:
        cause = None if isinstance(error, HTTPError) else error.__cause__  # of an upload in a thread
        why = " ".join(f"{error or type(error).__name__} {cause or ''}".split())
        raise RuntimeError(f"{target}: {why.rstrip('.')}. {state} {RERUN}") from error


def with_branch(api: HfApi, plan: Plan) -> Plan:
    """The plan against a branch that exists; made here, and its repository too, if there was none."""
    place, options = plan.release.place, plan.options
    if plan.branch in plan.heads:
        return plan
    if plan.private is None:
        sdk = "gradio" if plan.release.kind == "space" else None
        api.create_repo(**place, private=options.private, exist_ok=True, space_sdk=sdk)
    if options.revision:
        api.create_branch(**place, branch=options.revision, revision=plan.head, exist_ok=True)
    return make_plan(api, plan.release, options)  # what the Hub puts into a new repository is seen now


def commit(api: HfApi, plan: Plan) -> CommitInfo:
    """Send the large files, to where no branch names them, then everything in a commit."""
    operations = [change.operation for change in plan.pending]
    additions = [operation for operation in operations if isinstance(operation, CommitOperationAdd)]
    where = {**plan.release.place, "revision": plan.branch, "create_pr": plan.options.create_pr}
    # no .gitignore on the Hub may leave out a part of the release
    api.preupload_lfs_files(**where, additions=additions, free_memory=False, gitignore_content="")
    return api.create_commit(**where, operations=operations, commit_message=plan.title, parent_commit=plan.head)
