"""What a push sends: files, and the patterns of all that a release of its kind may hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import Any

OF_THE_MACHINE = ("node", "host", "traceback")  # keys of a visit in a manifest or report, and of a run's record
# an absolute path of two names or more; not the rest of an address, of m/s, of ~/curves or runs/curves
_PATH = re.compile(r"(?<![\w:/.~}-])(?:/[^\s/'\",;:()]+){2,}/?")


SPACES = "https://huggingface.co/spaces"


@dataclass(frozen=True)
class Related:
    """Ids of other repositories that a card names; None: of none."""

    model: str | None = None
    dataset: str | None = None
    space: str | None = None

    def link(self, words: str) -> str:
        """A Markdown link to the Space; nothing without one."""
        return f"[{words}]({SPACES}/{self.space})" if self.space else ""


@dataclass(frozen=True)
class Release:
    """Everything that one push makes a repository hold.

    kind: `dataset`, `model` or `space`. files: path in the repository → file on disk, or its bytes.
    allowed: patterns of what this kind may hold. Files on the Hub that match one and are not among
    `files` are deleted in the same commit; everything else there is left alone.
    """

    kind: str
    repo_id: str
    files: Mapping[str, Path | bytes]
    allowed: tuple[str, ...]

    def __post_init__(self) -> None:
        others = [path for path in self.files if not self.owns(path)]
        if others or not self.files:
            raise ValueError(
                f"{self.target}: expected files {', '.join(self.allowed)}, found {', '.join(others) or 'none'}"
            )

    @property
    def target(self) -> str:
        """`dataset OWNER/NAME`, for messages."""
        return f"{self.kind} {self.repo_id}"

    @property
    def place(self) -> dict[str, Any]:
        """The repository that it goes to, in the keywords of `HfApi`."""
        return {"repo_id": self.repo_id, "repo_type": self.kind}

    def owns(self, path: str) -> bool:
        """Whether a file is of this kind: in a pattern `*` is one name, `**` any folders and names."""
        return any(
            fnmatchcase(path, pattern) and ("**" in pattern or path.count("/") == pattern.count("/"))
            for pattern in self.allowed
        )


def without_machine(value: Any) -> Any:
    """A record without nodes and stack traces, and with the last name alone of each absolute path.

    They are of this machine and tell others nothing.
    """
    if isinstance(value, Mapping):
        return {name: without_machine(item) for name, item in value.items() if name not in OF_THE_MACHINE}
    if isinstance(value, list):
        return [without_machine(item) for item in value]
    return _PATH.sub(lambda found: PurePath(found[0]).name, value) if isinstance(value, str) else value
