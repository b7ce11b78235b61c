"""`ariel push`: publish a dataset, a model or the Space on the Hugging Face Hub."""

from __future__ import annotations

import logging
import os
import re
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import typer
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.utils import disable_progress_bars, validate_repo_id

from ariel_scripts.command_line import EXIT_INTERRUPTED
from ariel_scripts.invocation import RELEASED
from ariel_scripts.opening.hub import checkpoint_path
from ariel_scripts.options.push import Kind, PushOptions
from ariel_scripts.publishing import upload
from ariel_scripts.publishing.dataset_release import dataset_release
from ariel_scripts.publishing.model_release import model_release
from ariel_scripts.publishing.plan import CHANGED, DELETED, NEW, UNCHANGED, Plan, make_plan
from ariel_scripts.publishing.release import Related, Release
from ariel_scripts.publishing.space_release import space_release
from ariel_scripts.shipped import shipped

logger = logging.getLogger(__name__)

RELEASES = {Kind.dataset: dataset_release, Kind.model: model_release, Kind.space: space_release}


def main(options: PushOptions) -> None:
    """Publish what the options name."""
    release = partial(make_release, options.kind, options.folder, options.repo_id, related_to(options))
    if options.retrieval:
        if options.kind is not Kind.dataset:
            raise ValueError(f"--retrieval: a {options.kind} has none")
        release = partial(release, retrieval=options.retrieval)
    publish(options, release)


def publish(options: PushOptions, released: Callable[[], Release]) -> None:
    """Check what is asked for and who asks, then the folder by `released`, which takes a while, and push."""
    api = HfApi()
    check_repo_id(options.repo_id)
    if not options.dry_run:
        with upload.explained("login", upload.NOTHING):
            api.whoami()
    if not logger.isEnabledFor(logging.INFO):
        disable_progress_bars()
    release = released()
    before = signal.signal(signal.SIGINT, _end_at_once)
    try:
        push(api, release, options)
    finally:
        signal.signal(signal.SIGINT, before)


def check_repo_id(repo_id: str) -> None:
    """Refuse what is not an id OWNER/NAME that the Hub knows (ValueError)."""
    validate_repo_id(repo_id)
    if "/" not in repo_id:
        raise ValueError(f"repository id: expected OWNER/NAME, found {repo_id!r}")


def _end_at_once(*_: object) -> None:
    """Ctrl-C ends the process: Python would wait for the uploads of huggingface_hub's threads."""
    logger.error("interrupted. %s %s", upload.ONE_COMMIT, upload.RERUN)
    os._exit(EXIT_INTERRUPTED)


def related_to(options: PushOptions) -> Related:
    """What the card names; ValueError for what a card of this kind does not, or what is no id."""
    named = {name: getattr(options, name) for name in ("model", "dataset", "space")}
    for name, repo_id in named.items():
        if repo_id is not None:
            if (name == "space") == (options.kind is Kind.space):
                raise ValueError(f"--{name}: the card of a {options.kind} names none")
            check_repo_id(repo_id)
    return Related(**named)


def make_release(kind: Kind, folder: str | None, repo_id: str, related: Related = Related(), **others: Any) -> Release:
    """What a folder holds for the Hub, validated as its kind asks; `others` are of its kind alone."""
    return RELEASES[kind](_default_folder(kind) if folder is None else folder, repo_id, related, **others)


def push(api: HfApi, release: Release, options: PushOptions) -> None:
    """Print what a checked release changes on the Hub and, but for a dry run, carry it out and print where it is."""
    with upload.explained(release.target, upload.NOTHING):
        plan = make_plan(api, release, options)
        typer.echo(_listed(plan, logged_in=bool(api.token or get_token())))
        _warn_of_others(api, plan)
    if options.dry_run:
        return
    with upload.explained(release.target, upload.ONE_COMMIT):
        plan = upload.with_branch(api, plan)
        made = upload.commit(api, plan) if plan.pending else None
    commit = made.oid if made else str(plan.head)
    if plan.tag:
        with upload.explained(release.target, f"Commit {commit[:12]} is published, without its tag {plan.tag}."):
            api.create_tag(**release.place, tag=plan.tag, revision=commit)
    if made and made.pr_url:
        typer.echo(f"pull request {made.pr_url} (commit {commit[:12]})")
        return
    url = f"{api.endpoint}/{constants.REPO_TYPES_URL_PREFIXES.get(release.kind, '')}{release.repo_id}"
    tags = [tag for tag, tagged in plan.tags.items() if tagged == commit] + ([plan.tag] if plan.tag else [])
    what, tag = "published" if made else "nothing to send", f" tag {tags[-1]}" if tags else ""
    typer.echo(f"{what}: {url} commit {commit}{tag}")


def _default_folder(kind: Kind) -> str:
    if kind is Kind.dataset:
        raise typer.BadParameter("FOLDER: expected the folder of a dataset, found none")
    if kind is Kind.model:
        return checkpoint_path(RELEASED)
    return str(shipped("space"))


def _listed(plan: Plan, logged_in: bool) -> str:
    """The repository's state and, line by line, what happens to each file; in a dry run of unchanged ones too."""
    options = plan.options
    if plan.private is None:
        state = f"does not exist, will be made {'private' if options.private else 'public'}"
    else:
        state = f"{'private' if plan.private else 'public'}, {plan.branch} "
        state += f"{'at' if plan.branch in plan.heads else 'will be made from'} {str(plan.head)[:12]}"
    lines = [f"{plan.release.target}: {state}"]
    if not logged_in:
        lines.append("not logged in: what is private is not seen, and nothing can be published (hf auth login)")
    shown = plan.changes if options.dry_run else plan.pending
    lines += [f"{change.what:9}  {_size(change.size):>9}  {change.path}" for change in shown]
    sent = plan.those(NEW, CHANGED)
    size, deleted, same = _size(sum(change.size for change in sent)), plan.those(DELETED), plan.those(UNCHANGED)
    lines.append(f"{len(sent)} files ({size}) to send, {len(deleted)} to delete, {len(same)} unchanged")
    if options.create_pr:
        lines.append(f"pull request to {plan.branch}" if plan.pending else "no pull request")
    else:
        lines.append(f"tag {plan.tag}" if plan.tag else "no new tag")
    return "\n".join([*lines, *(["dry run: nothing was changed"] if options.dry_run else [])])


def _warn_of_others(api: HfApi, plan: Plan) -> None:
    """Say whose commit the last one is, where it was no push and this one changes or deletes files."""
    if plan.those(CHANGED, DELETED):
        last = api.list_repo_commits(**plan.release.place, revision=plan.head)[0]
        if not re.search(r"^initial commit$|\bPublish (dataset|model|space)\b", last.title):
            who, when = " and ".join(last.authors), f"{last.created_at:%Y-%m-%d %H:%M} UTC"
            logger.warning("last changed by %s (%s: %r), not by a push like this one", who, when, last.title)


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
