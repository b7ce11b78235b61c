"""`ariel push`: publish a dataset, a model or the Space on the Hugging Face Hub."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import typer
from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import disable_progress_bars, validate_repo_id

from ariel_scripts.command_line import EXIT_INTERRUPTED
from ariel_scripts.opening.hub import RELEASED, checkpoint_path
from ariel_scripts.options.push import Kind, PushOptions
from ariel_scripts.publishing.dataset_release import dataset_release
from ariel_scripts.publishing.errors import RERUN
from ariel_scripts.publishing.model_release import model_release
from ariel_scripts.publishing.plan import DELETED, UNCHANGED, Plan, PushSettings, make_plan
from ariel_scripts.publishing.release import Release
from ariel_scripts.publishing.space_release import space_release
from ariel_scripts.publishing.upload import Published, check_login, is_logged_in, publish

logger = logging.getLogger(__name__)

RELEASES: dict[Kind, Callable[[str, str], Release]] = {
    Kind.dataset: dataset_release,
    Kind.model: model_release,
    Kind.space: space_release,
}


def main(options: PushOptions) -> None:
    """Check what is asked for and who asks, then the folder, and push."""
    api = HfApi()
    check_repo_id(options.repo_id)  # before a folder is looked at, which takes a while
    if not options.dry_run:
        check_login(api)
    if not logger.isEnabledFor(logging.INFO):
        disable_progress_bars()
    release = make_release(options.kind, options.folder, options.repo_id)
    settings = PushSettings(options.private, options.revision, options.create_pr, options.tag)
    with _ended_at_once_by_ctrl_c():
        push(api, release, settings, options.dry_run)


def check_repo_id(repo_id: str) -> None:
    """Refuse what is not an id OWNER/NAME that the Hub knows (ValueError)."""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(f"repository id: {error}") from None
    if "/" not in repo_id:
        raise ValueError(f"repository id: expected OWNER/NAME, found {repo_id!r}")


@contextlib.contextmanager
def _ended_at_once_by_ctrl_c() -> Iterator[None]:
    """In the block Ctrl-C ends the process: Python would wait for the uploads of huggingface_hub's threads."""

    def end(*_: object) -> None:
        logger.error("interrupted. A push is one commit: nothing is half published. %s", RERUN)
        os._exit(EXIT_INTERRUPTED)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def make_release(kind: Kind, folder: str | None, repo_id: str) -> Release:
    """What a folder holds for the Hub, validated as its kind asks."""
    return RELEASES[kind](_default_folder(kind) if folder is None else folder, repo_id)


def push(api: HfApi, release: Release, settings: PushSettings, dry_run: bool = False) -> Published | None:
    """Print what a checked release changes on the Hub and, but for a dry run, carry it out and print where it is."""
    plan = make_plan(api, release, settings)
    typer.echo(_listed(plan, dry_run, is_logged_in(api)))
    for warning in plan.warnings:
        logger.warning("%s", warning)
    done = None if dry_run else publish(api, plan)
    if done is not None:
        typer.echo(_summary(done))
    return done


def _default_folder(kind: Kind) -> str:
    if kind is Kind.dataset:
        raise typer.BadParameter("FOLDER: expected the folder of a dataset, found none")
    if kind is Kind.model:
        return checkpoint_path(RELEASED)
    space = Path(__file__).resolve().parents[3] / "space"
    if not space.is_dir():
        raise typer.BadParameter(f"FOLDER: expected the Space's folder at {space} (a checkout has it), found none")
    return str(space)


def _listed(plan: Plan, whole: bool, logged_in: bool) -> str:
    """The repository's state and, line by line, what happens to each file; unchanged ones if `whole`."""
    remote, settings = plan.remote, plan.settings
    if remote.private is None:
        state = f"does not exist, will be made {'private' if settings.private else 'public'}"
    else:
        state = f"{'private' if remote.private else 'public'}, {settings.branch} "
        state += f"at {str(remote.head)[:12]}" if remote.has_branch else f"will be made from {str(remote.head)[:12]}"
    lines = [f"{plan.release.target}: {state}"]
    if not logged_in:
        lines.append("not logged in: what is private is not seen, and nothing can be published (hf auth login)")
    shown = plan.changes if whole else plan.pending
    lines += [f"{change.what:9}  {_size(change.size):>9}  {change.path}" for change in shown]
    sent = [change for change in plan.pending if change.what != DELETED]
    same = sum(change.what == UNCHANGED for change in plan.changes)
    size, deleted = _size(sum(change.size for change in sent)), len(plan.pending) - len(sent)
    lines.append(f"{len(sent)} files ({size}) to send, {deleted} to delete, {same} unchanged")
    if settings.create_pr:
        lines.append(f"pull request to {settings.branch}" if plan.pending else "no pull request")
    else:
        lines.append(f"tag {plan.tag}" if plan.tag else "no new tag")
    return "\n".join([*lines, *(["dry run: nothing was changed"] if whole else [])])


def _summary(done: Published) -> str:
    if done.pull_request is not None:
        what = "pull request" if done.fresh else "an open pull request holds this already:"
        return f"{what} {done.pull_request} (commit {done.commit[:12]})"
    what = "published" if done.fresh else "nothing to send"
    return f"{what}: {done.url} commit {done.commit}{f' tag {done.tag}' if done.tag else ''}"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
