"""Options of `ariel transients push`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer


class Kind(StrEnum):
    """What of transients can be published."""

    dataset = "dataset"
    model = "model"


@dataclass(frozen=True)
class PushOptions:
    """Publish a dataset or a model of transients, as `ariel push` does.

    Rows of the MALLORN challenge, and what was trained on them, are refused: no licence was found.

    Example: ariel transients push dataset YOU/transients transients --dry-run
    """

    kind: Annotated[Kind, typer.Argument(help="What to publish.")]
    repo_id: Annotated[str, typer.Argument(help="Where: OWNER/NAME. It is made if it does not exist.")]
    folder: Annotated[str, typer.Argument(help="Dataset of `build`; model of `boost` or `finetune`.")]
    private: Annotated[bool, typer.Option("--private", help="A repository that is made now is private.")] = False
    revision: Annotated[str | None, typer.Option(help="Branch to push to, made if missing; or refs/pr/N.")] = None
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Open a pull request instead of committing.")] = False
    tag: Annotated[str | None, typer.Option(help="Name of the version. Default on main: the next of v1, v2, …")] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would go, and change nothing.")] = False
