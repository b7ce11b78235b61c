"""Options of `ariel push`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Kind(StrEnum):
    """What can be published."""

    dataset = "dataset"
    model = "model"
    space = "space"


@dataclass(frozen=True)
class PushOptions:
    """Check a folder, compare it with the Hub, send what differs in one commit and tag it.

    Nothing is sent when nothing changed. After an interruption the same command goes on. Log in first: hf auth login.

    Exit codes: 0 published or nothing to do, 1 refused or failed, 2 wrong usage, 130 interrupted; where something may
    be on the Hub the message says what.

    Example: ariel push dataset YOU/ariel-2024 light-curves --private --dry-run
    """

    kind: Annotated[Kind, typer.Argument(help="What to publish.")]
    repo_id: Annotated[str, typer.Argument(help="Where: OWNER/NAME. It is made if it does not exist.")]
    folder: Annotated[
        str | None,
        typer.Argument(
            help="Folder of a dataset; or of a checkpoint, by default the released one; or of the "
            "Space, by default space/ of the checkout."
        ),
    ] = None
    private: Annotated[bool, typer.Option("--private", help="A repository that is made now is private.")] = False
    revision: Annotated[
        str | None,
        typer.Option(help="Branch to push to, made if missing; or refs/pr/N. Default: main."),
    ] = None
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Open a pull request instead of committing.")] = False
    tag: Annotated[
        str | None,
        typer.Option(help="Name of the version. Default on main: the next of v1, v2, …"),
    ] = None
    model: Annotated[str | None, typer.Option(help="Of a Space: the model on the Hub that its card names.")] = None
    dataset: Annotated[str | None, typer.Option(help="Of a Space: the dataset on the Hub that its card names.")] = None
    space: Annotated[str | None, typer.Option(help="Of a dataset or model: the Space that its card leads to.")] = None
    retrieval: Annotated[
        list[Path] | None,
        typer.Option(help="Of a dataset: predictions of its planets, sent as its configuration `retrieval`."),
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would go, and change nothing.")] = False
