"""`ariel push`: publish a dataset, a model or the Space on the Hugging Face Hub."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ariel_scripts.command_line import EXIT_INTERRUPTED, run_script

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from ariel_scripts.publishing.push_plan import Plan, PushSettings
    from ariel_scripts.publishing.release import Release
    from ariel_scripts.publishing.upload import Published

logger = logging.getLogger(__name__)


class Kind(StrEnum):
    """What can be published."""

    dataset = "dataset"
    model = "model"
    space = "space"


def main(
    kind: Annotated[Kind, typer.Argument(help="What to publish.")],
    repo_id: Annotated[str, typer.Argument(help="Where: OWNER/NAME. It is made if it does not exist.")],
    folder: Annotated[
        str | None,
        typer.Argument(
            help="Folder of a dataset; or of a checkpoint, by default the released one; or of the Space, by default "
            "space/ of the checkout."
        ),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="A repository that is made now is private.")] = False,
    revision: Annotated[
        str | None, typer.Option(help="Branch to push to, made if missing; or refs/pr/N. Default: main.")
    ] = None,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Open a pull request instead of committing.")] = False,
    tag: Annotated[str | None, typer.Option(help="Name of the version. Default on main: the next of v1, v2, …")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would go, and change nothing.")] = False,
) -> None:
    """Check a folder, compare it with the Hub, send what differs in one commit and tag it.

    Nothing is sent when nothing changed. After an interruption the same command goes on. Log in first: hf auth login.

    Exit codes: 0 published or nothing to do, 1 refused or failed, 2 wrong usage, 130 interrupted; where something may
    be on the Hub the message says what.

    Example: ariel push dataset YOU/ariel-2024 light-curves --private --dry-run
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    from ariel_scripts.publishing.checks import check, check_repo_id
    from ariel_scripts.publishing.hub_errors import ended_at_once_by_ctrl_c
    from ariel_scripts.publishing.push_plan import PushSettings, check_login

    api = HfApi()
    check_repo_id(repo_id)  # before a folder is looked at, which takes a while
    if not dry_run:
        check_login(api)
    if not logger.isEnabledFor(logging.INFO):
        disable_progress_bars()
    release = make_release(kind, folder, repo_id)
    check(release)
    with ended_at_once_by_ctrl_c(EXIT_INTERRUPTED):
        push(api, release, PushSettings(private, revision, create_pr, tag), dry_run)


def make_release(kind: Kind, folder: str | None, repo_id: str) -> Release:
    """What a folder holds for the Hub, validated as its kind asks."""
    if folder is None:
        folder = _default_folder(kind)
    made = importlib.import_module(f"ariel_scripts.publishing.{kind}_release")
    return cast("Callable[..., Release]", getattr(made, f"{kind}_release"))(folder, repo_id)


def push(api: HfApi, release: Release, settings: PushSettings, dry_run: bool = False) -> Published | None:
    """Print what a checked release changes on the Hub and, but for a dry run, carry it out and print where it is."""
    from ariel_scripts.publishing.hub_errors import bounded_waits
    from ariel_scripts.publishing.push_plan import make_plan
    from ariel_scripts.publishing.upload import publish

    with bounded_waits():
        plan = make_plan(api, release, settings)
        typer.echo(_listed(plan, dry_run))
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
        from ariel_scripts.opening.hub import RELEASED, checkpoint_path

        return checkpoint_path(RELEASED)
    space = Path(__file__).resolve().parents[3] / "space"
    if not space.is_dir():
        raise typer.BadParameter(f"FOLDER: expected the Space's folder at {space} (a checkout has it), found none")
    return str(space)


def _listed(plan: Plan, whole: bool) -> str:
    """The repository's state and, line by line, what happens to each file; unchanged ones if `whole`."""
    from ariel_scripts.publishing.push_plan import UNCHANGED

    remote, settings = plan.remote, plan.settings
    if remote.private is None:
        state = f"does not exist, will be made {'private' if settings.private else 'public'}"
    else:
        state = f"{'private' if remote.private else 'public'}, {plan.branch} "
        state += f"at {str(remote.head)[:12]}" if remote.has_branch else f"will be made from {str(remote.head)[:12]}"
    lines = [f"{plan.target}: {state}"]
    if plan.user is None:
        lines.append("not logged in: what is private is not seen, and nothing can be published (hf auth login)")
    shown: Any = plan.changes if whole else plan.pending
    lines += [f"{change.what:9}  {_size(change.size):>9}  {change.path}" for change in shown]
    sent = [change for change in plan.pending if change.what != "deleted"]
    same = sum(change.what == UNCHANGED for change in plan.changes)
    lines.append(f"{len(sent)} files ({_size(sum(change.size for change in sent))}) to send, "
                 f"{len(plan.pending) - len(sent)} to delete, {same} unchanged")  # fmt: skip
    if settings.create_pr:
        lines.append(f"pull request to {plan.branch}" if plan.pending else "no pull request")
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


if __name__ == "__main__":
    run_script(main)
